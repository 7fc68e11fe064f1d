"""Effects on a GPU: the CPU compositor's layers and grids, for a group of pictures at once.

`vision.compositor` says what layers are. Here both layers of all channels lie in one grid of four bytes a cell, so
that a pixel needs one fetch for each neighbouring cell; a composite costs four launches, whatever the group's size.
"""

from __future__ import annotations

from typing import Protocol

import torch

from segtriton_protocol.look import (
    EDGE_SIGMA_CELLS,
    RAMP_OFFSET,
    RAMP_SLOPE,
    blur_grid,
    blur_sigma_cells,
    edge_grid,
    effect_grid,
)
from segtriton_server.device.pictures import ChosenPictures, DeviceMasks, DevicePictures
from segtriton_server.frames import InvalidPictureError
from segtriton_server.vision.color import NEUTRAL_CHROMA, luma_levels, rgb_to_yuv
from segtriton_server.vision.effects import EffectSpec, blur_sigma_pixels, is_invisible
from segtriton_server.vision.gpu import operators
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels


class _Layers(Protocol):
    def update(self, pictures: DevicePictures, masks: torch.Tensor) -> torch.Tensor:
        """The layers uint8 [n, rows, columns, 4] of a group: kept, and what to add to each channel."""


class GpuCompositor:
    """Draws one session's effect on the stream it is given; one thread at a time."""

    def __init__(
        self, spec: EffectSpec, size_hw: tuple[int, int], kernels: PixelKernels, stream: torch.cuda.Stream
    ) -> None:
        """For one effect on pictures of `size_hw`."""
        self._size_hw = size_hw
        self._kernels = kernels
        self._stream = stream
        self._is_copy = is_invisible(spec, size_hw)
        self._replacing: _ReplacingLayers | None = None
        self._layers: _Layers
        if spec.effect == "image" or (spec.effect == "color" and spec.despill):
            self._replacing = _ReplacingLayers(spec, size_hw, kernels)
        elif spec.effect == "mask":
            self._layers = _MaskLayers()
        elif spec.effect == "blur":
            self._layers = _BlurLayers(blur_sigma_pixels(spec, size_hw), size_hw, kernels)
        else:
            self._layers = _FlatLayers(spec, size_hw, kernels)

    def compose(
        self,
        pictures: DevicePictures,
        masks: DeviceMasks,
        out: DevicePictures,
        behind: ChosenPictures | None = None,
    ) -> None:
        """Write every pixel of `out`, which is of the same kind and size as `pictures`, and as what is `behind`.

        Raises:
            InvalidPictureError: the pictures are of another kind or size.
        """
        if pictures.size_hw != self._size_hw or out.size_hw != self._size_hw or out.is_rgb is not pictures.is_rgb:
            raise InvalidPictureError(f"cannot compose {pictures.size_hw} into {out.size_hw}, made for {self._size_hw}")
        with torch.cuda.stream(self._stream):
            pictures.wait(self._stream)
            masks.wait(self._stream)
            if self._replacing is not None:
                self._replace(self._replacing, pictures, masks, out, behind)
            elif self._is_copy:
                for source, target in zip(pictures.planes, out.planes, strict=True):
                    target.copy_(source)
            else:
                self._kernels.blend(pictures, self._layers.update(pictures, masks.tensor), out)

    def _replace(
        self,
        layers: _ReplacingLayers,
        pictures: DevicePictures,
        masks: DeviceMasks,
        out: DevicePictures,
        behind: ChosenPictures | None,
    ) -> None:
        shown = pictures if behind is None else behind.take()
        if behind is None and layers.needs_picture:
            raise InvalidPictureError("the effect image has nothing to show behind the subject")
        if [plane.shape for plane in shown.planes] != [plane.shape for plane in pictures.planes]:
            raise InvalidPictureError(
                f"cannot show {shown.size_hw} behind {pictures.size_hw}: not of one kind and size"
            )
        self._kernels.replace(pictures, shown, layers.update(pictures, masks.tensor), out)


class _ReplacingLayers:
    """Colour and image: the subject in its own colours before something new, layers uint8 [n, rows, columns, 8]."""

    def __init__(self, spec: EffectSpec, size_hw: tuple[int, int], kernels: PixelKernels) -> None:
        self._spec = spec
        self._kernels = kernels
        self._grid_hw = effect_grid(size_hw)[0]
        self._edge_hw = edge_grid(self._grid_hw)
        self._color_key: object = None
        self._color: torch.Tensor | None = None

    @property
    def needs_picture(self) -> bool:
        return self._spec.effect == "image"

    def update(self, pictures: DevicePictures, masks: torch.Tensor) -> torch.Tensor:
        count, device = len(pictures), masks.device
        subject = torch.empty((count, *self._grid_hw), dtype=torch.uint8, device=device)
        self._kernels.subject(masks, RAMP_SLOPE, RAMP_OFFSET, subject)
        if not self._spec.despill:
            layers = torch.zeros((count, *self._grid_hw, 8), dtype=torch.uint8, device=device)
            layers[..., 0] = subject
            layers[..., 1] = 255 - subject
            return layers
        layers = torch.empty((count, *self._grid_hw, 8), dtype=torch.uint8, device=device)
        cells = (count, *self._edge_hw, 4)
        weighted = [torch.empty(cells, dtype=torch.float32, device=device) for _ in range(2)]
        foreground, background = (torch.empty(cells, dtype=torch.float32, device=device) for _ in range(2))
        self._kernels.edge_colors(pictures, subject, weighted[0], weighted[1])
        operators.gaussian(weighted[0], foreground, EDGE_SIGMA_CELLS)
        operators.gaussian(weighted[1], background, EDGE_SIGMA_CELLS)
        color = None if self.needs_picture else self._color_of(pictures)
        self._kernels.edge_layers(foreground, background, subject, color, layers)
        return layers

    def _color_of(self, pictures: DevicePictures) -> torch.Tensor:
        """The colour behind, float32 [3], in the pictures' own code values."""
        key = pictures.is_rgb, pictures.matrix, pictures.color_range
        if self._color is None or key != self._color_key:
            color = _code_values(self._spec.color_rgb, pictures)
            self._color = torch.tensor(color, dtype=torch.float32, device="cuda")
            self._color_key = key
        return self._color


class _MaskLayers:
    """The mask as grey picture: nothing is kept."""

    def update(self, pictures: DevicePictures, masks: torch.Tensor) -> torch.Tensor:
        layers = torch.zeros((*masks.shape, 4), dtype=torch.uint8, device=masks.device)
        if pictures.is_rgb:
            layers[..., 1:] = masks.unsqueeze(3)
            return layers
        black, white = luma_levels(pictures.color_range)
        layers[..., 1] = (masks.float() * ((white - black) / 255) + black).round_()
        layers[..., 2:] = NEUTRAL_CHROMA
        return layers


class _FlatLayers:
    """Overlay and colour: one colour is added, on the subject or on the background."""

    def __init__(self, spec: EffectSpec, size_hw: tuple[int, int], kernels: PixelKernels) -> None:
        self._spec = spec
        self._grid_hw = effect_grid(size_hw)[0]
        self._kernels = kernels
        self._table_key: object = None
        self._table: torch.Tensor | None = None

    def update(self, pictures: DevicePictures, masks: torch.Tensor) -> torch.Tensor:
        subject = torch.empty((len(pictures), *self._grid_hw), dtype=torch.uint8, device=masks.device)
        self._kernels.subject(masks, RAMP_SLOPE, RAMP_OFFSET, subject)
        return self._colors(pictures)[subject.int()]

    def _colors(self, pictures: DevicePictures) -> torch.Tensor:
        """The layers' cell for each level of the subject: uint8 [256, 4]."""
        key = pictures.is_rgb, pictures.matrix, pictures.color_range
        if self._table is None or key != self._table_key:
            color = _code_values(self._spec.color_rgb, pictures)
            levels = torch.arange(256, dtype=torch.float32)
            opacity = (levels * self._spec.strength).round() if self._spec.effect == "overlay" else 255 - levels
            columns = [255 - opacity, *(opacity * (value / 255) for value in color)]
            self._table = torch.stack(columns, dim=1).round().to(torch.uint8).cuda()
            self._table_key = key
        return self._table


class _BlurLayers:
    """The subject is kept, the blurred background added."""

    def __init__(self, sigma_pixels: float, size_hw: tuple[int, int], kernels: PixelKernels) -> None:
        self._kernels = kernels
        self._grid_hw, grid_scale = effect_grid(size_hw)
        self._blur_hw, scale = blur_grid(sigma_pixels, self._grid_hw, grid_scale)
        self._sigma_cells = blur_sigma_cells(sigma_pixels, scale)

    def update(self, pictures: DevicePictures, masks: torch.Tensor) -> torch.Tensor:
        count, device = len(pictures), masks.device
        subject = torch.empty((count, *self._grid_hw), dtype=torch.uint8, device=device)
        weighted = torch.empty((count, *self._blur_hw, 4), dtype=torch.float32, device=device)
        blurred = torch.empty_like(weighted)
        layers = torch.empty((count, *self._grid_hw, 4), dtype=torch.uint8, device=device)
        self._kernels.subject(masks, RAMP_SLOPE, RAMP_OFFSET, subject)
        self._kernels.weighted(pictures, subject, weighted)
        operators.gaussian(weighted, blurred, self._sigma_cells)
        self._kernels.blur_layers(blurred, subject, layers)
        return layers


def _code_values(color_rgb: tuple[int, int, int], pictures: DevicePictures) -> tuple[int, int, int]:
    """A colour as the pictures have it."""
    return color_rgb if pictures.is_rgb else rgb_to_yuv(color_rgb, pictures.matrix, pictures.color_range)
