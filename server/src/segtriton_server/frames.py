"""Decoded pictures as they travel between the stages: data only.

This module must not decode, convert or draw anything, and must not import more than NumPy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8 | np.uint16]

SAMPLE_TYPES: dict[int, np.dtype[np.uint8 | np.uint16]] = {8: np.dtype(np.uint8), 10: np.dtype(np.uint16)}
"""How samples are stored, by their bits."""

_BITS = {sample_type: bits for bits, sample_type in SAMPLE_TYPES.items()}


class InvalidPictureError(ValueError):
    """The planes given do not form a picture."""


class ColorMatrix(Enum):
    """Which luma weights a Y'CbCr picture was made with."""

    BT601 = "bt601"
    BT709 = "bt709"
    BT2020 = "bt2020"


class ColorRange(Enum):
    """LIMITED: Y 16..235 and chroma 16..240; FULL: 0..255."""

    LIMITED = "limited"
    FULL = "full"


class Pictures(Protocol):
    """Pictures of one session and size that travel together: one on the CPU, a few on a GPU."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def __len__(self) -> int:
        """How many there are."""

    def select(self, positions: Sequence[int]) -> "Pictures":
        """Those at the positions given, which rise."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: planar YUV in 8 bits (uint8) or in 10 (uint16), or interleaved RGB in 8.

    Attributes:
        planes: (Y[H, W], U[h, w], V[h, w]), where h is H or ceil(H / 2) and w is W or ceil(W / 2), or
            (RGB[H, W, 3],). Rows may be strided (a decoder's line size is often wider than the
            picture), the pixels inside a row may not: OpenCV would then silently work on a copy.
        matrix: luma weights of a YUV picture; without meaning for RGB.
        color_range: range of a YUV picture; RGB is always full range.
        captioned: the decoder's frame, if closed captions may lie beside its samples, which an encoder may code again.
    """

    planes: tuple[Plane, ...]
    matrix: ColorMatrix = ColorMatrix.BT709
    color_range: ColorRange = ColorRange.LIMITED
    captioned: object = None

    def __post_init__(self) -> None:
        """Refuse planes that do not fit together, where they are made."""
        if len(self.planes) == 1:
            _check_plane("RGB", self.planes[0], (*self.planes[0].shape[:2], 3), np.dtype(np.uint8))
        elif len(self.planes) == 3:
            luma, *chroma = self.planes
            _check_plane("Y", luma, luma.shape[:2], luma.dtype)
            shape = _chroma_shape(luma.shape, chroma[0].shape)
            _check_plane("U", chroma[0], shape, luma.dtype)
            _check_plane("V", chroma[1], shape, luma.dtype)
        else:
            raise InvalidPictureError(f"a picture has 3 planes (Y, U, V) or 1 (RGB), got {len(self.planes)}")

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.planes[0].shape[:2]
        return height, width

    def __len__(self) -> int:
        """One."""
        return 1

    def select(self, positions: Sequence[int]) -> "Picture":
        """Itself: there is nothing else to choose."""
        if list(positions) != [0]:
            raise IndexError(f"a picture has no parts {list(positions)}")
        return self

    @property
    def is_rgb(self) -> bool:
        """Whether the picture is interleaved RGB rather than planar YUV."""
        return len(self.planes) == 1

    @property
    def bits(self) -> int:
        """How many bits a sample has."""
        return _BITS[self.planes[0].dtype]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each plane: pictures of the same shapes and bits can be drawn into each other."""
        return tuple(plane.shape for plane in self.planes)

    def __repr__(self) -> str:
        """Short form: a whole picture in a log line helps nobody."""
        height, width = self.size_hw
        if self.is_rgb:
            return f"Picture({width}x{height} rgb)"
        chroma_height, chroma_width = self.planes[1].shape
        matrix, color_range = self.matrix.value, self.color_range.value
        chroma = f"chroma {chroma_width}x{chroma_height}"
        return f"Picture({width}x{height} yuv, {chroma}, {self.bits} bits, {matrix} {color_range})"


def _chroma_shape(luma_shape: tuple[int, ...], found: tuple[int, ...]) -> tuple[int, ...]:
    """What a chroma plane of about the shape found must be: each side as long as luma's, or half as long."""
    halves = tuple((length + 1) // 2 for length in luma_shape)
    if len(found) != len(halves):
        return halves
    return tuple(whole if side == whole else half for whole, half, side in zip(luma_shape, halves, found, strict=True))


def _check_plane(name: str, plane: Plane, expected_shape: tuple[int, ...], expected_type: np.dtype[Any]) -> None:
    if plane.dtype != expected_type or plane.dtype not in _BITS:
        wanted = expected_type if expected_type in _BITS else "uint8 or uint16"
        raise InvalidPictureError(f"plane {name} must be {wanted}, got {plane.dtype}")
    if plane.shape != expected_shape or len(expected_shape) < 2:
        wanted = "x".join(map(str, expected_shape))
        raise InvalidPictureError(f"plane {name} must be {wanted}, got {plane.shape}")
    if 0 in plane.shape:
        raise InvalidPictureError(f"plane {name} is empty: {plane.shape}")
    row_bytes = math.prod(plane.shape[1:]) * plane.itemsize
    pixels_are_packed = plane.shape[1] == 1 or plane[0].flags.c_contiguous
    if not pixels_are_packed or (plane.shape[0] > 1 and plane.strides[0] < row_bytes):
        raise InvalidPictureError(f"plane {name} must hold packed pixels in forward rows, got strides {plane.strides}")
