"""The coarse grid on which effects are computed, and how pictures get onto it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.vision.resampling import halve

Plane = NDArray[np.uint8]

# Networks answer with about 144 rows: a much coarser grid would lose the mask's edge, a finer one gains nothing.
_FEWEST_GRID_ROWS = 128
# A blur must spread over this many cells or the grid shows through it.
_FEWEST_SIGMA_CELLS = 1.5
_COARSEST_SCALE = 16


def grid_scale(size_hw: tuple[int, int], sigma_pixels: float | None) -> int:
    """The largest power of two that keeps the mask's edge and, if blurring, the blur's smoothness."""
    scale = 1
    while (
        2 * scale <= _COARSEST_SCALE
        and min(size_hw) / (2 * scale) >= _FEWEST_GRID_ROWS
        and (sigma_pixels is None or sigma_pixels / (2 * scale) >= _FEWEST_SIGMA_CELLS)
    ):
        scale *= 2
    return scale


def blur_scale(sigma_pixels: float, finest_scale: int) -> int:
    """The largest power of two, at least `finest_scale`, at which a blur is still smooth."""
    scale = finest_scale
    while 2 * scale <= _COARSEST_SCALE and sigma_pixels / (2 * scale) >= _FEWEST_SIGMA_CELLS:
        scale *= 2
    return scale


class Grid:
    """Pictures of one size made smaller by a power of two, sides rounded up.

    Attributes:
        scale: pixels of luma to one cell.
        size_hw: rows and columns of cells.
    """

    def __init__(self, picture_hw: tuple[int, int], scale: int) -> None:
        """Lay out the grid; memory is taken when the first picture shows its kind."""
        self.scale = scale
        self.size_hw = -(-picture_hw[0] // scale), -(-picture_hw[1] // scale)
        self.size_wh = self.size_hw[1], self.size_hw[0]
        self._steps: dict[tuple[int, ...], Plane] = {}

    def planes(self, picture: Picture) -> list[Plane]:
        """The three channels on the grid, [h, w] each: Y, U, V or R, G, B. Valid until the next call."""
        if picture.is_rgb:
            small = self._shrink(picture.planes[0], 0)
            return list(cv2.split(small))  # type: ignore[arg-type]
        return [self._shrink(plane, position) for position, plane in enumerate(picture.planes)]

    def _shrink(self, plane: Plane, position: int) -> Plane:
        small = plane
        while small.shape[0] > self.size_hw[0] or small.shape[1] > self.size_hw[1]:
            key = (position, *small.shape)
            small = self._steps[key] = halve(small, self._steps.get(key))
        if small.shape[:2] != self.size_hw:  # chroma on a grid as fine as luma
            key = (position, 0)
            out = self._steps.get(key)
            small = cv2.resize(small, self.size_wh, dst=out, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
            self._steps[key] = small
        return small
