"""Whether a codec library failed for want of memory: some do not say so, and some say so of a damaged header."""

from __future__ import annotations

from segtriton_server.media.pixel_formats import num_bytes

# About what x264 takes for its look-ahead and references; a decoder takes less.
_PICTURES = 16


def check_room(size_hw: tuple[int, int], pixel_format: str) -> None:
    """Raise MemoryError where a codec finds no room for its pictures; nothing is kept."""
    bytearray(_PICTURES * num_bytes(pixel_format, size_hw))
