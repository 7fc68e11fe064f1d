"""The two layers of each effect, on the grid."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_protocol.look import RAMP_OFFSET, RAMP_SLOPE, blur_grid, blur_sigma_cells
from segtriton_server.frames import Picture, Plane
from segtriton_server.vision.color import rgb_to_yuv
from segtriton_server.vision.depth import Depth
from segtriton_server.vision.edge_colors import EdgeColors
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.grid import Grid, Shrinker

Mask = NDArray[np.uint8]

_NEIGHBOURS = np.ones((3, 3), np.uint8)


class LayerPlanes(NamedTuple):
    """What is drawn, on the grid; valid until the next update.

    Attributes:
        kept: weights of the source, for all planes of a picture.
        removed: what to take from each plane of the source that is kept; None for nothing.
        added: what to add to each plane; None if that is only what stands behind.
        shown: weights of the picture behind, for all planes; None if there is none.
    """

    kept: Plane
    added: list[Plane] | None
    shown: Plane | None = None
    removed: list[Plane] | None = None

    def interleaved(self) -> "LayerPlanes":
        """The same for a picture whose three channels lie in one plane."""
        added, removed = (None if planes is None else [_joined(planes)] for planes in (self.added, self.removed))
        shown = None if self.shown is None else _joined([self.shown] * 3)
        return LayerPlanes(_joined([self.kept] * 3), added, shown, removed)

    def of(self, planes: slice) -> "LayerPlanes":
        """The same for some planes of a picture."""
        return self._replace(
            added=None if self.added is None else self.added[planes],
            removed=None if self.removed is None else self.removed[planes],
        )


class Layers(Protocol):
    """What to keep of the source and what to add to it.

    Attributes:
        subject: [h, w] on the grid, 0 where the picture shows only `background`.
    """

    subject: Mask

    def update(self, picture: Picture, mask: Mask) -> LayerPlanes:
        """The layers for one picture."""

    def backgrounds(self, picture: Picture, behind: Picture | None) -> Sequence[Plane] | None:
        """What each plane shows where `subject` is 0, or one pixel of it; None if that is the added layer."""


class BlurLayers:
    """Keep the subject, add the blurred background.

    The blur is normalised by the background's own weight (Knutsson and Westin, "Normalized and Differential
    Convolution", 1993), so the subject's colours do not bleed into the background around it. It is computed on a
    grid coarse enough for its width; the weakest one is therefore about 0.8 cells of the effect's own grid wide.
    """

    def __init__(self, sigma_pixels: float, grid: Grid, depth: Depth) -> None:
        """For a blur of `sigma_pixels` on the pictures of one grid."""
        self._grid = grid
        self._depth = depth
        blur_hw, scale = blur_grid(sigma_pixels, grid.size_hw, grid.scale)
        sigma_cells = blur_sigma_cells(sigma_pixels, scale)
        kernel_size = 2 * round(3 * sigma_cells) + 1
        self._kernel = cv2.getGaussianKernel(kernel_size, sigma_cells, cv2.CV_32F)
        self._shrinker = Shrinker(blur_hw, depth)
        self.subject = np.empty(grid.size_hw, np.uint8)
        self._opacity = np.empty(grid.size_hw, np.uint8)  # of the background
        self._smooth: Plane = np.empty((3, *grid.size_hw), depth.dtype)
        self._added: Plane = np.empty((3, *grid.size_hw), depth.dtype)
        self._blurred: Plane = np.empty((3, *blur_hw), depth.dtype)
        self._weighted = np.empty((3, *blur_hw), np.float32)
        self._coarse_opacity = np.empty(blur_hw, np.uint8)
        self._weight = np.empty(blur_hw, np.float32)
        self._total = np.empty(blur_hw, np.float32)

    def update(self, picture: Picture, mask: Mask) -> LayerPlanes:
        """See `Layers`."""
        draw_subject(mask, self.subject)
        cv2.bitwise_not(self.subject, dst=self._opacity)
        self._blur_background(self._shrinker.shrink(picture))
        for blurred, smooth, added in zip(self._blurred, self._smooth, self._added, strict=True):
            # Linear interpolation would show its kinks here, where one cell may be 16 pixels wide.
            cv2.resize(blurred, self._grid.size_wh, dst=smooth, interpolation=cv2.INTER_CUBIC)
            self._depth.limit(smooth)
            self._depth.weigh(smooth, self._opacity, added)
        layers = LayerPlanes(self._depth.weights(self.subject), list(self._added))
        return layers.interleaved() if picture.is_rgb else layers

    def backgrounds(self, picture: Picture, behind: Picture | None) -> Sequence[Plane] | None:
        """See `Layers`."""
        return None

    def _blur_background(self, channels: Plane) -> None:
        rows, columns = self._weight.shape
        cv2.resize(self._opacity, (columns, rows), dst=self._coarse_opacity, interpolation=cv2.INTER_AREA)
        # A cell on the outline already holds the subject's colours: leave those cells and their neighbours out.
        cv2.erode(self._coarse_opacity, _NEIGHBOURS, dst=self._coarse_opacity)
        # Deep inside the subject there is no background; plus 1, it shows its own colour instead of dividing by 0.
        np.add(self._coarse_opacity, np.float32(1.0), out=self._weight)
        np.multiply(channels, self._weight, out=self._weighted)
        self._smoothen(self._weight, self._total)
        for weighted in self._weighted:
            self._smoothen(weighted, weighted)
        np.divide(self._weighted, self._total, out=self._weighted)
        stacked = (3 * rows, columns)
        self._depth.round(self._weighted.reshape(stacked), self._blurred.reshape(stacked))

    def _smoothen(self, cells: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        cv2.sepFilter2D(cells, -1, self._kernel, self._kernel, dst=out, borderType=cv2.BORDER_REFLECT)


class FlatLayers:
    """Overlay and colour: add one colour, on the subject or on the background."""

    def __init__(self, spec: EffectSpec, grid: Grid, depth: Depth) -> None:
        """For one effect on the pictures of one grid."""
        self._spec = spec
        self._depth = depth
        self._is_overlay = spec.effect == "overlay"
        self.subject = np.empty(grid.size_hw, np.uint8)
        self._kept: Plane = np.empty(grid.size_hw, depth.dtype)
        self._added: Plane = np.empty((3, *grid.size_hw), depth.dtype)
        levels = np.arange(256)
        opacity = np.rint(levels * spec.strength) if self._is_overlay else 255 - levels
        self._kept_levels = depth.weights((255 - opacity).astype(np.uint8))
        self._opacity_levels = opacity.astype(np.uint8)
        self._color: tuple[int, ...] = ()
        self._color_pixels: Sequence[Plane] = []
        self._color_levels: Sequence[Plane] = []
        self._edges = EdgeColors(grid, depth) if spec.despill and not self._is_overlay else None

    def update(self, picture: Picture, mask: Mask) -> LayerPlanes:
        """See `Layers`."""
        self._set_color(picture)
        draw_subject(mask, self.subject)
        cv2.LUT(self.subject, self._kept_levels, dst=self._kept)
        for levels, added in zip(self._color_levels, self._added, strict=True):
            cv2.LUT(self.subject, levels, dst=added)
        if self._edges is None:
            layers = LayerPlanes(self._kept, list(self._added))
        else:
            kept, removed, added = self._edges.update(picture, self.subject)
            cv2.add(self._added, added, dst=self._added)
            layers = LayerPlanes(kept, list(self._added), removed=list(removed))
        return layers.interleaved() if picture.is_rgb else layers

    def backgrounds(self, picture: Picture, behind: Picture | None) -> Sequence[Plane] | None:
        """See `Layers`: the source for an overlay, else the colour."""
        return picture.planes if self._is_overlay else self._color_pixels

    def _set_color(self, picture: Picture) -> None:
        color = self._spec.color_rgb
        if not picture.is_rgb:
            color = rgb_to_yuv(color, picture.matrix, picture.color_range, self._depth.bits)
        if (*color, picture.is_rgb) != self._color:
            self._color = (*color, picture.is_rgb)
            scaled = (self._opacity_levels * (value / 255) for value in color)
            pixels: Plane = np.array(color, self._depth.dtype)
            self._color_pixels = [pixels] if picture.is_rgb else list(pixels.reshape(3, 1))
            self._color_levels = [np.rint(levels).astype(self._depth.dtype) for levels in scaled]


class ImageLayers:
    """Keep the subject, show the picture behind elsewhere."""

    def __init__(self, spec: EffectSpec, grid: Grid, depth: Depth) -> None:
        """For the pictures of one grid."""
        self._depth = depth
        self._edges = EdgeColors(grid, depth) if spec.despill else None
        self.subject = np.empty(grid.size_hw, np.uint8)
        self._opacity = np.empty(grid.size_hw, np.uint8)  # of the picture behind

    def update(self, picture: Picture, mask: Mask) -> LayerPlanes:
        """See `Layers`."""
        draw_subject(mask, self.subject)
        cv2.bitwise_not(self.subject, dst=self._opacity)
        shown = self._depth.weights(self._opacity)
        if self._edges is None:
            layers = LayerPlanes(self._depth.weights(self.subject), None, shown)
        else:
            kept, removed, added = self._edges.update(picture, self.subject)
            layers = LayerPlanes(kept, list(added), shown, list(removed))
        return layers.interleaved() if picture.is_rgb else layers

    def backgrounds(self, picture: Picture, behind: Picture | None) -> Sequence[Plane] | None:
        """See `Layers`: the picture behind."""
        return None if behind is None else behind.planes


def draw_subject(mask: Mask, out: Mask) -> None:
    """Enlarge a mask to the grid and make it decided: a ramp between the two thresholds.

    The ramp comes after enlarging, so the outline stays as smooth as the enlarged mask.
    """
    rows, columns = out.shape
    cv2.resize(mask, (columns, rows), dst=out, interpolation=cv2.INTER_LINEAR)
    # The cheapest saturating a * x + b that OpenCV has for 8 bits.
    cv2.addWeighted(out, RAMP_SLOPE, out, 0.0, RAMP_OFFSET, dst=out)


def _joined(planes: list[Plane]) -> Plane:
    """Planes [h, w] as one [h, w, n]."""
    return cv2.merge(planes)  # type: ignore[return-value]
