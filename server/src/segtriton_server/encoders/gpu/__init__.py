"""Encoders of pictures and masks that lie in a GPU's memory, and the ladder that chooses among them."""
