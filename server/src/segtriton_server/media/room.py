"""Whether a codec library failed for want of memory: some do not say so, and some say so of a damaged header."""

from __future__ import annotations

# About what x264 takes for its look-ahead and references; a decoder takes less.
_PICTURES = 16


def check_room(size_hw: tuple[int, int]) -> None:
    """Raise MemoryError where a codec finds no room for pictures of so many pixels in 4:2:0; nothing is kept."""
    height, width = size_hw
    bytearray(_PICTURES * height * width * 3 // 2)
