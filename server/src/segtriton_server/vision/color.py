"""Conversion between RGB and Y'CbCr as matrices (ITU-R BT.601-7, BT.709-6, BT.2020-2).

All matrices work on code values: 8-bit full-range RGB 0..255 on one side, the picture's own range on the other.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import ColorMatrix, ColorRange

# Kr and Kb, the weights of red and blue in luma.
_LUMA_WEIGHTS = {
    ColorMatrix.BT601: (0.299, 0.114),
    ColorMatrix.BT709: (0.2126, 0.0722),
    ColorMatrix.BT2020: (0.2627, 0.0593),
}
NEUTRAL_CHROMA = 128


def luma_levels(color_range: ColorRange, bits: int = 8) -> tuple[int, int]:
    """Code values of black and white in Y."""
    return (16 << bits - 8, 235 << bits - 8) if color_range is ColorRange.LIMITED else (0, (1 << bits) - 1)


def neutral_chroma(bits: int) -> int:
    """Code value of no colour in U and V."""
    return NEUTRAL_CHROMA << bits - 8


@cache
def rgb_to_yuv_affine(matrix: ColorMatrix, color_range: ColorRange, bits: int = 8) -> NDArray[np.float64]:
    """The affine map [3, 4] from 8-bit RGB to YUV of so many bits; column 3 is the offset."""
    red, blue = _LUMA_WEIGHTS[matrix]
    green = 1.0 - red - blue
    luma = np.array([red, green, blue])
    cb = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - blue))
    cr = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - red))
    black, white = luma_levels(color_range, bits)
    chroma_scale = (224 << bits - 8 if color_range is ColorRange.LIMITED else white) / 255.0
    affine = np.empty((3, 4))
    affine[0, :3] = luma * (white - black) / 255.0
    affine[1, :3] = cb * chroma_scale
    affine[2, :3] = cr * chroma_scale
    affine[:, 3] = (black, neutral_chroma(bits), neutral_chroma(bits))
    affine.flags.writeable = False  # cached: every caller sees the same array
    return affine


@cache
def yuv_to_rgb_affine(matrix: ColorMatrix, color_range: ColorRange) -> NDArray[np.float64]:
    """The affine map [3, 4] from 8-bit YUV to 8-bit RGB, the inverse of `rgb_to_yuv_affine`."""
    forward = rgb_to_yuv_affine(matrix, color_range)
    inverse = np.linalg.inv(forward[:, :3])
    affine = np.column_stack([inverse, -inverse @ forward[:, 3]])
    affine.flags.writeable = False
    return affine


def rgb_to_yuv(
    color_rgb: tuple[int, int, int], matrix: ColorMatrix, color_range: ColorRange, bits: int = 8
) -> tuple[int, int, int]:
    """One colour as the code values of a YUV picture."""
    affine = rgb_to_yuv_affine(matrix, color_range, bits)
    values = affine[:, :3] @ np.array(color_rgb, np.float64) + affine[:, 3]
    y, u, v = (int(value) for value in np.clip(np.rint(values), 0, (1 << bits) - 1))
    return y, u, v
