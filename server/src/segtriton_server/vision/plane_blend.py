"""The part of a composite that sees every pixel of a plane."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Box(NamedTuple):
    """A rectangle of grid cells; the right and bottom ends are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def nonzero_box(cells: Plane) -> Box | None:
    """The cells that are not 0, with one cell more on every side; None if all are 0.

    The margin makes it safe to enlarge the box alone: what lies beyond equals the box's own edge.
    """
    left, top, width, height = cv2.boundingRect(cells)
    if width == 0:
        return None
    rows, columns = cells.shape
    return Box(max(left - 1, 0), max(top - 1, 0), min(left + width + 1, columns), min(top + height + 1, rows))


class PlaneBlend:
    """Enlarges grid layers to one plane and blends them, for planes of one shape."""

    def __init__(self, plane_shape: tuple[int, ...], grid_hw: tuple[int, int]) -> None:
        """For planes [H, W] or [H, W, C] over a grid of `grid_hw` cells."""
        self._shape = plane_shape
        self._scratch = np.empty(int(np.prod(plane_shape)), np.uint8)
        height, width = plane_shape[:2]
        factor = height // grid_hw[0]
        # Only where a cell covers a whole number of pixels can a part of the grid be enlarged by itself.
        self._factor = factor if (grid_hw[0] * factor, grid_hw[1] * factor) == (height, width) else 0

    def enlarge(self, cells: Plane, out: Plane, box: Box) -> None:
        """Write the grid's cells inside the box into the pixels of `out` that they cover."""
        cells, rows, columns = self._part(cells, box)
        target = out[rows, columns]
        cv2.resize(cells, (target.shape[1], target.shape[0]), dst=target, interpolation=cv2.INTER_LINEAR)

    def add_kept(self, source: Plane, kept: Plane, out: Plane, box: Box) -> None:
        """Add source * kept / 255 to `out` inside the box."""
        kept, rows, columns = self._part(kept, box)
        target = out[rows, columns]
        weighted = self._scratch[: target.size].reshape(target.shape)
        size_wh = target.shape[1], target.shape[0]
        cv2.resize(kept, size_wh, dst=weighted, interpolation=cv2.INTER_LINEAR)
        cv2.multiply(source[rows, columns], weighted, dst=weighted, scale=1 / 255)
        cv2.add(target, weighted, dst=target)

    def _part(self, cells: Plane, box: Box) -> tuple[Plane, slice, slice]:
        factor = self._factor
        if not factor:
            return cells, slice(None), slice(None)
        rows = slice(box.top * factor, box.bottom * factor)
        columns = slice(box.left * factor, box.right * factor)
        return cells[box.top : box.bottom, box.left : box.right], rows, columns
