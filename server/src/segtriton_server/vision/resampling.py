"""Making planes smaller without aliasing and without touching every pixel in floating point."""

import cv2
import numpy as np
from numpy.typing import NDArray


def shrink(plane: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink (or enlarge) an 8-bit plane, halving first while it is more than twice too large.

    Halving with INTER_LINEAR averages 2x2 pixels and is OpenCV's fastest path (0.05 ms for 720p, against
    0.33 ms for one INTER_AREA step to 256x144); the last step then shrinks by less than two, where linear
    interpolation still sees every pixel.

    Args:
        plane: [H, W] or [H, W, C]; rows may be strided.
        size_hw: height and width to reach.
    """
    height, width = size_hw
    small = plane
    while small.shape[0] >= 2 * height and small.shape[1] >= 2 * width:
        small = halve(small)
    if small.shape[:2] != (height, width):
        # Where only one side is much too large, the area filter keeps that side free of aliasing.
        lopsided = small.shape[0] >= 2 * height or small.shape[1] >= 2 * width
        method = cv2.INTER_AREA if lopsided else cv2.INTER_LINEAR
        small = cv2.resize(small, (width, height), interpolation=method)  # type: ignore[assignment]
    return small


def halve(plane: NDArray[np.uint8], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Half of both sides, rounded up: means of 2x2 pixels where the sides are even."""
    size_wh = ((plane.shape[1] + 1) // 2, (plane.shape[0] + 1) // 2)
    return cv2.resize(plane, size_wh, dst=out, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]
