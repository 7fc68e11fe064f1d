from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_server.frames import ColorMatrix, ColorRange, Picture
from segtriton_server.vision.color import rgb_to_yuv, yuv_to_rgb_affine
from segtriton_server.vision.preprocess import small_rgb

MakePicture = Callable[..., Picture]
EVERY_KIND = [(matrix, color_range) for matrix in ColorMatrix for color_range in ColorRange]
NETWORK_HW = (144, 256)


def float_reference(picture: Picture, size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """The slow and obvious way: all pixels to RGB in floating point, then the mean of the pixels in each cell."""
    height, width = picture.size_hw
    if picture.is_rgb:
        rgb = picture.planes[0].astype(np.float64)
    else:
        chroma = [np.kron(plane, np.ones((2, 2)))[:height, :width] for plane in picture.planes[1:]]
        yuv = np.stack([picture.planes[0].astype(np.float64), *chroma], axis=-1)
        affine = yuv_to_rgb_affine(picture.matrix, picture.color_range)
        rgb = np.clip(yuv @ affine[:, :3].T + affine[:, 3], 0, 255)
    return cv2.resize(rgb / 255, size_hw[::-1], interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(("matrix", "color_range"), EVERY_KIND)
@pytest.mark.parametrize(
    "color_rgb", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 60, 200)]
)
def test_flat_colors_are_exact(matrix: ColorMatrix, color_range: ColorRange, color_rgb: tuple[int, int, int]) -> None:
    shapes = ((72, 128), (36, 64), (36, 64))
    values = rgb_to_yuv(color_rgb, matrix, color_range)
    planes = tuple(np.full(shape, value, np.uint8) for shape, value in zip(shapes, values, strict=True))
    network_input = small_rgb(Picture(planes, matrix, color_range), NETWORK_HW)
    # One code value of the 8-bit source is worth up to 2.2 steps of red or blue.
    np.testing.assert_allclose(network_input[50, 50], color_rgb, atol=2.5)


@pytest.mark.parametrize("size_hw", [(720, 1280), (1080, 1920), (288, 352), (721, 1279), (1280, 720)])
@pytest.mark.parametrize("is_rgb", [False, True])
def test_is_close_to_a_float_reference(make_picture: MakePicture, size_hw: tuple[int, int], is_rgb: bool) -> None:
    picture = make_picture(size_hw, is_rgb=is_rgb)
    difference = np.abs(small_rgb(picture, NETWORK_HW) / 255 - float_reference(picture, NETWORK_HW))
    # Another filter may answer an edge differently; a wrong matrix, range, shift or order of channels is far beyond.
    assert difference.mean() < 0.015
    assert np.quantile(difference, 0.99) < 0.05


@pytest.mark.parametrize("is_rgb", [False, True])
def test_padding_of_rows_is_not_seen(make_picture: MakePicture, is_rgb: bool) -> None:
    plain = small_rgb(make_picture((363, 641), is_rgb=is_rgb), NETWORK_HW)
    padded = small_rgb(make_picture((363, 641), is_rgb=is_rgb, line_padding=31), NETWORK_HW)
    np.testing.assert_array_equal(plain, padded)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 2000), (2000, 1), (3, 5), (144, 256)])
@pytest.mark.parametrize("is_rgb", [False, True])
def test_any_size_fits(make_picture: MakePicture, size_hw: tuple[int, int], is_rgb: bool) -> None:
    network_input = small_rgb(make_picture(size_hw, is_rgb=is_rgb), NETWORK_HW)
    assert network_input.shape == (*NETWORK_HW, 3)
    assert network_input.dtype == np.uint8
    assert network_input.flags.c_contiguous


def test_fine_detail_becomes_its_mean() -> None:
    luma = np.zeros((720, 1280), np.uint8)
    luma[:, ::2] = 255
    chroma = np.full((360, 640), 128, np.uint8)
    network_input = small_rgb(Picture((luma, chroma, chroma), color_range=ColorRange.FULL), NETWORK_HW)
    np.testing.assert_allclose(network_input, 127.5, atol=2.5)
