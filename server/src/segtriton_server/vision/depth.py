"""How the samples of planes, and of the layers that are drawn on them, are stored."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import SAMPLE_TYPES, Plane

_OPAQUE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


@dataclass(frozen=True)
class Depth:
    """Samples of 8 bits, in uint8, or of 10, in uint16.

    Weights are of the same type and use all of it, or those of 8 bits would show as steps in 10.
    """

    bits: int

    @property
    def dtype(self) -> np.dtype[np.uint8 | np.uint16]:
        """NumPy's type of a sample."""
        return SAMPLE_TYPES[self.bits]

    def weights(self, mask: NDArray[np.uint8]) -> Plane:
        """A mask, 0 to 255, as weights."""
        return mask if self.bits == 8 else mask * np.uint16(65535 // 255)

    def weigh(self, plane: Plane, weights: Plane, out: Plane) -> None:
        """Write a plane times weights of either type; the largest one keeps all."""
        kind = cv2.CV_8U if self.bits == 8 else cv2.CV_16U
        cv2.multiply(plane, weights, dst=out, scale=1 / _OPAQUE[weights.dtype], dtype=kind)

    def round(self, values: NDArray[np.float32], out: Plane) -> None:
        """Write values from 0 to the largest sample as samples."""
        if self.bits == 8:
            cv2.convertScaleAbs(values, dst=out)  # half the price of the other
        else:
            np.copyto(out, np.rint(values), casting="unsafe")

    def limit(self, plane: Plane) -> None:
        """Make what is more than the largest sample that; OpenCV does it by itself where the type ends there."""
        if self.bits != 8:
            cv2.threshold(plane, (1 << self.bits) - 1, 0, cv2.THRESH_TRUNC, dst=plane)
