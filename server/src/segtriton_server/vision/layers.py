"""The two layers of each effect, on the grid."""

from math import sqrt
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.vision.color import rgb_to_yuv
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.grid import Grid, blur_scale

Plane = NDArray[np.uint8]
LayerPlanes = tuple[list[Plane], list[Plane]]


class Layers(Protocol):
    """What to keep of the source and what to add to it.

    Attributes:
        subject: [h, w] on the grid, 0 where the picture is nothing but what `outside` says.
    """

    subject: Plane

    def update(self, picture: Picture, mask: Plane) -> LayerPlanes:
        """The layers (kept, added) for one picture, one array for each of its planes; valid until the next call."""

    def outside(self, picture: Picture, position: int) -> Plane | None:
        """What plane `position` shows where `subject` is 0; None if that is the added layer."""


class BlurLayers:
    """Keep the subject, add the blurred background.

    The blur is normalised by the background's own weight (Knutsson and Westin, "Normalized and Differential
    Convolution", 1993), so the subject's colours do not bleed into the background around it.
    """

    def __init__(self, sigma_pixels: float, grid: Grid) -> None:
        """For a blur of `sigma_pixels` on the pictures of one grid."""
        self._grid = grid
        self._halvings = (blur_scale(sigma_pixels, grid.scale) // grid.scale).bit_length() - 1
        scale = grid.scale << self._halvings
        # Shrinking by means and enlarging by linear interpolation blur too: by 1/12 and 1/6 of a cell squared.
        variance = (sigma_pixels / scale) ** 2 - (0.25 if scale > 1 else 0.0)
        self._sigma_cells = sqrt(max(variance, 0.04))
        self._height, self._width = grid.size_hw
        self.subject = np.empty(grid.size_hw, np.uint8)
        self._background = np.empty(grid.size_hw, np.uint8)
        self._enlarged = np.empty(grid.size_hw, np.uint8)
        self._added = [np.empty(grid.size_hw, np.uint8) for _ in range(3)]

    def update(self, picture: Picture, mask: Plane) -> LayerPlanes:
        """See `Layers`."""
        size_wh = self._grid.size_wh
        cv2.resize(mask, size_wh, dst=self.subject, interpolation=cv2.INTER_LINEAR)
        np.subtract(255, self.subject, out=self._background)
        planes = self._grid.planes(picture)
        weight = self._coarse(self._background).astype(np.float32)
        weight += 1.0  # deep inside the subject there is no background: any colour will do there
        total = self._blur(weight)
        for plane, added in zip(planes, self._added, strict=True):
            coarse = self._coarse(plane)
            blurred = self._blur(np.multiply(coarse, weight, dtype=np.float32))
            blurred /= total
            smooth = cv2.convertScaleAbs(blurred)
            if self._halvings:
                smooth = cv2.resize(smooth, size_wh, dst=self._enlarged, interpolation=cv2.INTER_LINEAR)
            cv2.multiply(smooth, self._background, dst=added, scale=1 / 255)
        return _for_planes(picture, self.subject, self._added)

    def outside(self, picture: Picture, position: int) -> Plane | None:
        """The background is the added layer."""
        return None

    def _coarse(self, cells: Plane) -> Plane:
        for _ in range(self._halvings):
            size_wh = ((cells.shape[1] + 1) // 2, (cells.shape[0] + 1) // 2)
            cells = cv2.resize(cells, size_wh, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        return cells

    def _blur(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.GaussianBlur(cells, (0, 0), self._sigma_cells, borderType=cv2.BORDER_REFLECT)  # type: ignore[return-value]


class FlatLayers:
    """Overlay and colour: add one colour, on the subject or on the background."""

    def __init__(self, spec: EffectSpec, grid_hw: tuple[int, int]) -> None:
        """For one effect on a grid of `grid_hw`."""
        self._spec = spec
        self._is_overlay = spec.effect == "overlay"
        self.subject = np.empty(grid_hw, np.uint8)
        self._kept = np.empty(grid_hw, np.uint8)
        self._added = [np.empty(grid_hw, np.uint8) for _ in range(3)]
        levels = np.arange(256)
        opacity = np.rint(levels * spec.strength) if self._is_overlay else 255 - levels
        self._opacity_levels = opacity.astype(np.uint8)

    def update(self, picture: Picture, mask: Plane) -> LayerPlanes:
        """See `Layers`."""
        rows, columns = self.subject.shape
        cv2.resize(mask, (columns, rows), dst=self.subject, interpolation=cv2.INTER_LINEAR)
        cv2.LUT(self.subject, np.subtract(255, self._opacity_levels), dst=self._kept)
        for value, added in zip(self._color(picture), self._added, strict=True):
            levels = np.rint(self._opacity_levels * (value / 255)).astype(np.uint8)
            cv2.LUT(self.subject, levels, dst=added)
        return _for_planes(picture, self._kept, self._added)

    def outside(self, picture: Picture, position: int) -> Plane | None:
        """The source for an overlay, else the colour."""
        if self._is_overlay:
            return picture.planes[position]
        color = np.array(self._color(picture), np.uint8)
        return color if picture.is_rgb else color[position : position + 1]

    def _color(self, picture: Picture) -> tuple[int, int, int]:
        if picture.is_rgb:
            return self._spec.color_rgb
        return rgb_to_yuv(self._spec.color_rgb, picture.matrix, picture.color_range)


def _for_planes(picture: Picture, kept: Plane, added: list[Plane]) -> LayerPlanes:
    if picture.is_rgb:
        return [cv2.merge([kept, kept, kept])], [cv2.merge(added)]  # type: ignore[list-item]
    return [kept, kept, kept], added
