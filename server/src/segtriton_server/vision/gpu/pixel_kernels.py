"""The kernels of `kernels.cu` as functions on pictures and tensors, all on the current stream."""

from __future__ import annotations

from ctypes import c_float, c_int
from functools import cache
from pathlib import Path

import numpy as np
import torch

from segtriton_protocol import Orientation
from segtriton_protocol.look import edge_weights
from segtriton_server.device.kernels import KernelModule
from segtriton_server.device.pictures import DevicePictures
from segtriton_server.frames import ColorMatrix, ColorRange
from segtriton_server.vision.color import rgb_to_yuv_affine, yuv_to_rgb_affine

_SOURCE = Path(__file__).with_name("kernels.cu")


class PixelKernels:
    """See `kernels.cu` for what each does; grids are [n, rows, columns, ...]."""

    def __init__(self, compile_cache: Path | None) -> None:
        """Compile, or load what was compiled before."""
        self._module = KernelModule(_SOURCE, compile_cache)

    def to_input(
        self,
        pictures: DevicePictures,
        orientation: Orientation,
        normal: torch.Tensor,
        network_input: torch.Tensor,
        guide: torch.Tensor,
        part: tuple[slice, slice] | None = None,
    ) -> None:
        """Write the network's input and the grey guide of a group, as its pictures are seen.

        Args:
            pictures: n pictures.
            orientation: what makes them as they are seen.
            normal: float32 [2, 3], factors and offsets that turn RGB 0..255 into what the network wants.
            network_input: half or float32 [n, rows, columns, 3], written.
            guide: uint8 [n, rows, columns], written.
            part: the rows and columns that the pictures fill, with zeros around; all by default.
        """
        rows, columns = network_input.shape[1:3]
        name = "rgb_to_input" if pictures.is_rgb else "nv12_to_input"
        source = *_source(pictures), _affine(pictures)
        sizes = c_int(rows), c_int(columns)
        flips = c_int(orientation.flips_rows), c_int(orientation.flips_columns)
        turn = c_int(orientation.is_transposed), *flips
        target = network_input, c_int(network_input.dtype == torch.float32), guide
        high, wide = part or (slice(0, rows), slice(0, columns))
        place = map(c_int, (high.start, wide.start, high.stop - high.start, wide.stop - wide.start))
        self._module.launch(name, (len(pictures), rows, columns), *source, normal, *target, *sizes, *turn, *place)

    def subject(self, masks: torch.Tensor, slope: float, offset: float, subject: torch.Tensor) -> None:
        """Enlarge masks uint8 [n, h, w] to the grid of `subject` and put them through a ramp."""
        count, rows, columns = subject.shape
        mask_size = c_int(masks.shape[1]), c_int(masks.shape[2])
        arguments = (masks, *mask_size, c_float(slope), c_float(offset), subject, c_int(rows), c_int(columns))
        self._module.launch("mask_to_subject", (count, rows, columns), *arguments)

    def weighted(self, pictures: DevicePictures, subject: torch.Tensor, weighted: torch.Tensor) -> None:
        """Write colours times the background's weight, and the weight: float32 [n, rows, columns, 4]."""
        count, rows, columns, _ = weighted.shape
        name = "rgb_to_weighted" if pictures.is_rgb else "nv12_to_weighted"
        subject_size = c_int(subject.shape[1]), c_int(subject.shape[2])
        arguments = (*_source(pictures), subject, *subject_size, weighted, c_int(rows), c_int(columns))
        self._module.launch(name, (count, rows, columns), *arguments)

    def blur_layers(self, blurred: torch.Tensor, subject: torch.Tensor, layers: torch.Tensor) -> None:
        """Make the layers uint8 [n, rows, columns, 4] of blurred colours float32 [n, h, w, 4]."""
        count, rows, columns, _ = layers.shape
        blur_size = c_int(blurred.shape[1]), c_int(blurred.shape[2])
        arguments = (blurred, *blur_size, subject, layers, c_int(rows), c_int(columns))
        self._module.launch("blur_layers", (count, rows, columns), *arguments)

    def blend(self, pictures: DevicePictures, layers: torch.Tensor, out: DevicePictures) -> None:
        """Draw the enlarged layers uint8 [n, rows, columns, 4] over the pictures."""
        height, width = pictures.size_hw
        grid = layers, c_int(layers.shape[1]), c_int(layers.shape[2])
        name, divisor = ("blend_rgb", 1) if pictures.is_rgb else ("blend_nv12", 2)
        cells = len(pictures), height // divisor, width // divisor
        self._module.launch(name, cells, *_planes(pictures), *grid, *_planes(out), c_int(height), c_int(width))

    def edge_colors(
        self, pictures: DevicePictures, subject: torch.Tensor, foreground: torch.Tensor, background: torch.Tensor
    ) -> None:
        """Write weighted colours and weights of what surely is the one or the other: float32 [n, rows, columns, 4]."""
        count, rows, columns, _ = foreground.shape
        name = "rgb_to_edge_colors" if pictures.is_rgb else "nv12_to_edge_colors"
        subject_size = c_int(subject.shape[1]), c_int(subject.shape[2])
        out = foreground, background, c_int(rows), c_int(columns)
        arguments = (*_source(pictures), subject, *subject_size, _edge_weights(), *out)
        self._module.launch(name, (count, rows, columns), *arguments)

    def edge_layers(
        self,
        foreground: torch.Tensor,
        background: torch.Tensor,
        subject: torch.Tensor,
        color: torch.Tensor | None,
        layers: torch.Tensor,
    ) -> None:
        """Make the layers uint8 [n, rows, columns, 8] before a new background.

        Args:
            foreground: blurred weighted colours float32 [n, h, w, 4] of what surely is the subject.
            background: the same of what surely is none.
            subject: uint8 [n, rows, columns].
            color: float32 [3] that is shown behind, 0..255; None where a picture is.
            layers: kept, shown, removed colours, added colours; written.
        """
        count, rows, columns, _ = layers.shape
        edge_size = c_int(foreground.shape[1]), c_int(foreground.shape[2])
        behind = foreground if color is None else color, c_int(color is not None)
        arguments = (foreground, background, *edge_size, subject, *behind, layers, c_int(rows), c_int(columns))
        self._module.launch("edge_layers", (count, rows, columns), *arguments)

    def replace(
        self, pictures: DevicePictures, behind: DevicePictures, layers: torch.Tensor, out: DevicePictures
    ) -> None:
        """Draw the pictures before others, by enlarged layers uint8 [n, rows, columns, 8] of `edge_layers`."""
        height, width = pictures.size_hw
        grid = layers, c_int(layers.shape[1]), c_int(layers.shape[2])
        name, divisor = ("replace_rgb", 1) if pictures.is_rgb else ("replace_nv12", 2)
        cells = len(pictures), height // divisor, width // divisor
        size = c_int(height), c_int(width)
        self._module.launch(name, cells, *_planes(pictures), *_planes(behind), *grid, *_planes(out), *size)

    def jpeg_planes(self, pictures: DevicePictures) -> torch.Tensor:
        """Return what JPEG codes of NV12 pictures: uint8 [n, 3 * H * W / 2], planes Y, Cb, Cr in full range BT.601.

        Raises:
            TypeError: the pictures are RGB.
        """
        if pictures.is_rgb:
            raise TypeError("JPEG's planes are made of NV12 pictures, got RGB")
        height, width = pictures.size_hw
        out = torch.empty((len(pictures), 3 * height * width // 2), dtype=torch.uint8, device="cuda")
        affine = _jpeg_affine(pictures.matrix, pictures.color_range)
        arguments = (*_planes(pictures), affine, out, c_int(height), c_int(width))
        self._module.launch("nv12_to_jpeg_planes", (len(pictures), height // 2, width // 2), *arguments)
        return out


def _planes(pictures: DevicePictures) -> list[torch.Tensor | int]:
    arguments: list[torch.Tensor | int] = []
    for plane in pictures.planes:
        arguments += [plane, plane.stride(0)]
    return arguments


def _source(pictures: DevicePictures) -> list[torch.Tensor | int | c_int]:
    height, width = pictures.size_hw
    return [*_planes(pictures), c_int(height), c_int(width)]


def _affine(pictures: DevicePictures) -> torch.Tensor:
    if pictures.is_rgb:
        return _identity()
    return _yuv_affine(pictures.matrix, pictures.color_range)


@cache
def _yuv_affine(matrix: ColorMatrix, color_range: ColorRange) -> torch.Tensor:
    return torch.tensor(yuv_to_rgb_affine(matrix, color_range), dtype=torch.float32, device="cuda").contiguous()


@cache
def _jpeg_affine(matrix: ColorMatrix, color_range: ColorRange) -> torch.Tensor:
    """The affine map [3, 4] from a picture's YUV to JFIF's, through RGB."""
    to_rgb = np.vstack([yuv_to_rgb_affine(matrix, color_range), (0.0, 0.0, 0.0, 1.0)])
    affine = rgb_to_yuv_affine(ColorMatrix.BT601, ColorRange.FULL) @ to_rgb
    return torch.tensor(affine, dtype=torch.float32, device="cuda").contiguous()


@cache
def _edge_weights() -> torch.Tensor:
    return torch.tensor(edge_weights(), dtype=torch.float32, device="cuda")


@cache
def _identity() -> torch.Tensor:
    return torch.eye(3, 4, dtype=torch.float32, device="cuda")
