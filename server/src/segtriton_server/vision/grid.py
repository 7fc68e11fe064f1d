"""The coarse grid on which effects are computed, and how pictures get onto it."""

import cv2
import numpy as np

from segtriton_protocol.look import effect_grid
from segtriton_server.frames import Picture, Plane
from segtriton_server.vision.depth import Depth
from segtriton_server.vision.resampling import resize


class Grid:
    """Pictures of one size made smaller by a power of two, sides rounded up.

    Attributes:
        scale: pixels of luma to one cell.
        size_hw: rows and columns of cells.
        size_wh: the same as OpenCV wants it.
    """

    def __init__(self, picture_hw: tuple[int, int]) -> None:
        """Lay out the grid; memory is taken when the first picture shows its kind."""
        self.size_hw, self.scale = effect_grid(picture_hw)
        self.size_wh = self.size_hw[1], self.size_hw[0]


class Shrinker:
    """Brings the three channels of a picture to one small size by halving; owns the memory of every step."""

    def __init__(self, size_hw: tuple[int, int], depth: Depth) -> None:
        """For channels of `size_hw`, which must be the picture's size halved a few times."""
        self._size_hw = size_hw
        self._channels: Plane = np.empty((3, *size_hw), depth.dtype)
        self._steps: dict[tuple[int, ...], Plane] = {}

    def shrink(self, picture: Picture) -> Plane:
        """The channels [3, h, w]: Y, U, V or R, G, B. Valid until the next call."""
        if picture.is_rgb:
            small = picture.planes[0]
            while small.shape[:2] != self._size_hw:
                small = self._halve(small, 0)
            cv2.split(small, list(self._channels))
            return self._channels
        for position, plane in enumerate(picture.planes):
            self._shrink_plane(plane, position, self._channels[position])
        return self._channels

    def _shrink_plane(self, plane: Plane, position: int, out: Plane) -> None:
        rows, columns = self._size_hw
        small = plane
        while small.shape[0] > rows or small.shape[1] > columns:
            if self._halved_hw(small) == self._size_hw:
                resize(small, self._size_hw, out)
                return
            small = self._halve(small, position)
        resize(small, self._size_hw, out)  # luma that needs no halving, or chroma of a grid as fine as luma

    def _halve(self, plane: Plane, position: int) -> Plane:
        key = (position, *plane.shape)
        self._steps[key] = resize(plane, self._halved_hw(plane), self._steps.get(key))
        return self._steps[key]

    def _halved_hw(self, plane: Plane) -> tuple[int, int]:
        # Each side by itself: chroma may be as high as luma and half as wide.
        rows, columns = (
            (length + 1) // 2 if length > wanted else length
            for length, wanted in zip(plane.shape, self._size_hw, strict=False)
        )
        return rows, columns
