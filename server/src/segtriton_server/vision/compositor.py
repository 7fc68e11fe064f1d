"""Drawing an effect on a whole picture, cheaply.

Every effect has the form

    out = source * kept + added

where `kept` and `added` change slowly from pixel to pixel: they are made from the mask and from blurred or constant
colour. So they are computed on a coarse grid (a quarter of the size for 720p), and only three integer operations see
every pixel: enlarge, multiply, add. This is compositing with premultiplied alpha (Porter and Duff, "Compositing
Digital Images", 1984), which is also what lets both layers be enlarged independently without a fringe.
"""

from typing import Protocol

import cv2
import numpy as np

from segtriton_server.frames import InvalidPictureError, Picture
from segtriton_server.vision.color import luma_levels, neutral_chroma
from segtriton_server.vision.depth import Depth
from segtriton_server.vision.effects import EffectSpec, blur_sigma_pixels, is_invisible
from segtriton_server.vision.errors import InvalidMaskError
from segtriton_server.vision.grid import Grid
from segtriton_server.vision.layers import BlurLayers, FlatLayers, ImageLayers, Layers, Mask
from segtriton_server.vision.plane_blend import PlaneBlend, subject_boxes


class Compositor(Protocol):
    """Draws one session's effect; owns its scratch memory, so one thread at a time."""

    def compose(self, picture: Picture, mask: Mask, out: Picture, behind: Picture | None = None) -> None:
        """Write every pixel of `out.planes`, which may be strided views into an encoder's buffer.

        Args:
            picture: the source; left as it is.
            mask: [h, w], any size, covering the whole picture; 255 is the subject.
            out: of the same kind and size as `picture`; must not share memory with it.
            behind: what the effect image shows where the subject is not; of the same kind and size as `picture`.
        """


def create_compositor(spec: EffectSpec, size_hw: tuple[int, int]) -> Compositor:
    """The compositor for one session's effect and picture size (YUV and RGB alike)."""
    if spec.effect == "mask":
        return MaskCompositor(size_hw)
    if is_invisible(spec, size_hw):
        return CopyCompositor(size_hw)
    return LayerCompositor(spec, size_hw)


class CopyCompositor:
    """The picture itself: a blur of strength 0."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        """For pictures of `size_hw`."""
        self._size_hw = size_hw

    def compose(self, picture: Picture, mask: Mask, out: Picture, behind: Picture | None = None) -> None:
        """Copy the planes; see `Compositor`."""
        _check(self._size_hw, picture, mask, out)
        for source, target in zip(picture.planes, out.planes, strict=True):
            np.copyto(target, source)


class MaskCompositor:
    """The mask as grey video: black is background, white is subject."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        """For pictures of `size_hw`."""
        self._size_hw = size_hw

    def compose(self, picture: Picture, mask: Mask, out: Picture, behind: Picture | None = None) -> None:
        """Draw the mask; see `Compositor`."""
        _check(self._size_hw, picture, mask, out)
        height, width = self._size_hw
        if out.is_rgb:
            grey = cv2.merge([mask, mask, mask])
            cv2.resize(grey, (width, height), dst=out.planes[0], interpolation=cv2.INTER_LINEAR)
            return
        black, white = luma_levels(out.color_range, out.bits)
        levels = np.rint(np.linspace(black, white, 256)).astype(out.planes[0].dtype)
        luma = cv2.LUT(mask, levels)
        cv2.resize(luma, (width, height), dst=out.planes[0], interpolation=cv2.INTER_LINEAR)
        for chroma in out.planes[1:]:
            chroma.fill(neutral_chroma(out.bits))


class LayerCompositor:
    """Blur, overlay, colour and image: layers on a grid, enlarged and blended."""

    def __init__(self, spec: EffectSpec, size_hw: tuple[int, int]) -> None:
        """For one effect on pictures of `size_hw`."""
        self._spec = spec
        self._size_hw = size_hw
        self._grid = Grid(size_hw)
        self._kind: object = None
        self._layers: Layers
        # Planes of one shape are drawn together: they share the enlarged mask.
        self._groups: list[tuple[PlaneBlend, slice]] = []

    def compose(self, picture: Picture, mask: Mask, out: Picture, behind: Picture | None = None) -> None:
        """Draw the effect; see `Compositor`."""
        _check(self._size_hw, picture, mask, out)
        if self._spec.effect == "image":
            _check_behind(picture, behind)
        if (picture.bits, picture.shapes) != self._kind:
            self._prepare(picture.bits, picture.shapes)
        layers = self._layers.update(picture, mask)
        boxes = subject_boxes(self._layers.subject)
        backgrounds = self._layers.backgrounds(picture, behind)
        for blend, group in self._groups:
            sources, targets, of_group = picture.planes[group], out.planes[group], layers.of(group)
            if backgrounds is None:
                assert of_group.added is not None, "what is no background is a layer"
                for layer, target in zip(of_group.added, targets, strict=True):
                    blend.fill(layer, target)
                for box in blend.fit(boxes):
                    blend.add(sources, of_group.kept, targets, box)
                continue
            for background, target in zip(backgrounds[group], targets, strict=True):
                np.copyto(target, background)
            for box in blend.fit(boxes):
                blend.blend(sources, of_group, None if behind is None else behind.planes[group], targets, box)

    def _prepare(self, bits: int, shapes: tuple[tuple[int, ...], ...]) -> None:
        self._kind = bits, shapes
        depth = Depth(bits)
        if self._spec.effect == "blur":
            self._layers = BlurLayers(blur_sigma_pixels(self._spec, self._size_hw), self._grid, depth)
        elif self._spec.effect == "image":
            self._layers = ImageLayers(self._spec, self._grid, depth)
        else:
            self._layers = FlatLayers(self._spec, self._grid, depth)
        groups = [slice(None)] if len(set(shapes)) == 1 else [slice(0, 1), slice(1, 3)]
        self._groups = [(PlaneBlend(shapes[group][0], self._grid.size_hw, depth), group) for group in groups]


def _check_behind(picture: Picture, behind: Picture | None) -> None:
    if behind is None or (behind.bits, behind.shapes) != (picture.bits, picture.shapes):
        raise InvalidPictureError(f"cannot show {behind!r} behind {picture!r}: not of one kind and size")


def _check(size_hw: tuple[int, int], picture: Picture, mask: Mask, out: Picture) -> None:
    if picture.size_hw != size_hw:
        raise InvalidPictureError(f"compositor is made for {size_hw}, got a picture of {picture.size_hw}")
    if (out.bits, out.shapes) != (picture.bits, picture.shapes):
        raise InvalidPictureError(f"cannot compose {picture!r} into {out!r}: not of one kind and size")
    if mask.ndim != 2 or mask.dtype != np.uint8 or 0 in mask.shape:
        raise InvalidMaskError(f"mask must be uint8 [h, w], got {mask.dtype} {mask.shape}")
