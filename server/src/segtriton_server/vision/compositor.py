"""Drawing an effect on a whole picture, cheaply.

Every effect has the form

    out = source * kept / 255 + added

where `kept` and `added` change slowly from pixel to pixel: they are made from the mask and from blurred or constant
colour. So they are computed on a coarse grid (a quarter of the size for 720p), and only three 8-bit operations see
every pixel: enlarge, multiply, add. This is compositing with premultiplied alpha (Porter and Duff, "Compositing
Digital Images", 1984), which is also what lets both layers be enlarged independently without a fringe.
"""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import InvalidPictureError, Picture
from segtriton_server.vision.color import NEUTRAL_CHROMA, luma_levels
from segtriton_server.vision.effects import EffectSpec, blur_sigma_pixels
from segtriton_server.vision.errors import InvalidMaskError
from segtriton_server.vision.grid import Grid, grid_scale
from segtriton_server.vision.layers import BlurLayers, FlatLayers, Layers
from segtriton_server.vision.plane_blend import Box, PlaneBlend, nonzero_box

Plane = NDArray[np.uint8]

# A blur this narrow (in pixels) leaves no pixel different by a visible amount.
_SMALLEST_SIGMA = 0.25


class Compositor(Protocol):
    """Draws one session's effect; owns its scratch memory, so one thread at a time."""

    def compose(self, picture: Picture, mask: Plane, out: Picture) -> None:
        """Write every pixel of `out.planes`, which may be strided views into an encoder's buffer.

        Args:
            picture: the source; left as it is.
            mask: [h, w], any size, covering the whole picture; 255 is the subject.
            out: of the same kind and size as `picture`; must not share memory with it.
        """


def create_compositor(spec: EffectSpec, size_hw: tuple[int, int]) -> Compositor:
    """The compositor for one session's effect and picture size (YUV and RGB alike)."""
    if spec.effect == "mask":
        return MaskCompositor(size_hw)
    if spec.effect == "blur" and blur_sigma_pixels(spec, size_hw) < _SMALLEST_SIGMA:
        return CopyCompositor(size_hw)
    return LayerCompositor(spec, size_hw)


class CopyCompositor:
    """The picture itself: a blur of strength 0."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        """For pictures of `size_hw`."""
        self._size_hw = size_hw

    def compose(self, picture: Picture, mask: Plane, out: Picture) -> None:
        """Copy the planes; see `Compositor`."""
        _check(self._size_hw, picture, mask, out)
        for source, target in zip(picture.planes, out.planes, strict=True):
            np.copyto(target, source)


class MaskCompositor:
    """The mask as grey video: black is background, white is subject."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        """For pictures of `size_hw`."""
        self._size_hw = size_hw

    def compose(self, picture: Picture, mask: Plane, out: Picture) -> None:
        """Draw the mask; see `Compositor`."""
        _check(self._size_hw, picture, mask, out)
        height, width = self._size_hw
        if out.is_rgb:
            grey = cv2.merge([mask, mask, mask])
            cv2.resize(grey, (width, height), dst=out.planes[0], interpolation=cv2.INTER_LINEAR)
            return
        black, white = luma_levels(out.color_range)
        levels = np.rint(np.linspace(black, white, 256)).astype(np.uint8)
        luma = cv2.LUT(mask, levels)
        cv2.resize(luma, (width, height), dst=out.planes[0], interpolation=cv2.INTER_LINEAR)
        for chroma in out.planes[1:]:
            chroma.fill(NEUTRAL_CHROMA)


class LayerCompositor:
    """Blur, overlay and colour: two layers on a grid, enlarged and blended."""

    def __init__(self, spec: EffectSpec, size_hw: tuple[int, int]) -> None:
        """For one effect on pictures of `size_hw`."""
        self._size_hw = size_hw
        self._is_rgb: bool | None = None
        sigma = blur_sigma_pixels(spec, size_hw) if spec.effect == "blur" else None
        self._grid = Grid(size_hw, grid_scale(size_hw, sigma))
        self._layers: Layers = FlatLayers(spec, self._grid.size_hw) if sigma is None else BlurLayers(sigma, self._grid)
        self._blends: tuple[PlaneBlend, ...] = ()

    def compose(self, picture: Picture, mask: Plane, out: Picture) -> None:
        """Draw the effect; see `Compositor`."""
        _check(self._size_hw, picture, mask, out)
        if picture.is_rgb is not self._is_rgb:
            self._prepare(picture)
        kept, added = self._layers.update(picture, mask)
        everywhere = Box(0, 0, *self._grid.size_wh)
        box = nonzero_box(self._layers.subject)
        for position, blend in enumerate(self._blends):
            source, target = picture.planes[position], out.planes[position]
            outside = self._layers.outside(picture, position)
            if outside is None:
                blend.enlarge(added[position], target, everywhere)
            else:
                np.copyto(target, outside)
            if box is not None:
                if outside is not None:
                    blend.enlarge(added[position], target, box)
                blend.add_kept(source, kept[position], target, box)

    def _prepare(self, picture: Picture) -> None:
        self._is_rgb = picture.is_rgb
        self._blends = tuple(PlaneBlend(plane.shape, self._grid.size_hw) for plane in picture.planes)


def _check(size_hw: tuple[int, int], picture: Picture, mask: Plane, out: Picture) -> None:
    if picture.size_hw != size_hw:
        raise InvalidPictureError(f"compositor is made for {size_hw}, got a picture of {picture.size_hw}")
    if out.size_hw != size_hw or out.is_rgb is not picture.is_rgb:
        raise InvalidPictureError(f"cannot compose {picture!r} into {out!r}: not of one kind and size")
    if mask.ndim != 2 or mask.dtype != np.uint8 or 0 in mask.shape:
        raise InvalidMaskError(f"mask must be uint8 [h, w], got {mask.dtype} {mask.shape}")
