"""Composites to compressed packets, and the ladder that chooses which encoder a session gets."""
