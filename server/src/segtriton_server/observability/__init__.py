"""What an operator sees: metrics on Triton's port and structured logs. No video passes here."""
