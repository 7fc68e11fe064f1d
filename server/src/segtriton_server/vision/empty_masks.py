"""How many frames of a session show nothing of what was asked for."""

import numpy as np
from numpy.typing import NDArray

_ONE_HALF = 128


class EmptyMasks:
    """Counts frames in whose mask no pixel has a probability of one half or more.

    Attributes:
        count: such frames so far.
    """

    def __init__(self, *, is_inverted: bool) -> None:
        """Take whether masks are those of all but the class."""
        self._is_inverted = is_inverted
        self._is_empty = False
        self.count = 0

    def add(self, mask: NDArray[np.uint8] | None) -> None:
        """Take a frame's mask [h, w] as the network gave it; None for that of the last frame."""
        if mask is not None:
            self._is_empty = bool(mask.min() >= _ONE_HALF if self._is_inverted else mask.max() < _ONE_HALF)
        self.count += self._is_empty
