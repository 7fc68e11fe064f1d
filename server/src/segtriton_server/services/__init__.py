"""One use case a file: what the Triton models call."""
