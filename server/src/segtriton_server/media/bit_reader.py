"""Reads the headers of H.264, VP9 and AV1 bit by bit."""

from __future__ import annotations

_MAX_ZEROS = 32


class BitReader:
    """A position in some bytes; whatever reads beyond their end raises IndexError."""

    def __init__(self, content: bytes) -> None:
        """Begin at the first bit."""
        self._value = int.from_bytes(content, "big")
        self._left = 8 * len(content)

    def take(self, count: int = 1) -> int:
        """Return the next bits as an unsigned integer."""
        if count > self._left:
            raise IndexError("the header is cut short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def take_ue(self) -> int:
        """Return an unsigned Exp-Golomb code (ITU-T H.264, 9.1); a signed one is as long."""
        zeros = 0
        while not self.take():
            zeros += 1
            if zeros > _MAX_ZEROS:
                raise IndexError("the header is damaged")
        return (1 << zeros) - 1 + self.take(zeros)
