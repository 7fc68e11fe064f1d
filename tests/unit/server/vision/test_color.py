import numpy as np
import pytest

from segtriton_server.frames import ColorMatrix, ColorRange
from segtriton_server.vision.color import rgb_to_yuv, rgb_to_yuv_affine, yuv_to_rgb_affine

EVERY_KIND = [(matrix, color_range) for matrix in ColorMatrix for color_range in ColorRange]


@pytest.mark.parametrize(
    ("color_rgb", "matrix", "color_range", "expected"),
    [
        # The colour bars of the recommendations, as test generators print them.
        ((255, 0, 0), ColorMatrix.BT601, ColorRange.LIMITED, (81, 90, 240)),
        ((0, 255, 0), ColorMatrix.BT601, ColorRange.LIMITED, (145, 54, 34)),
        ((0, 0, 255), ColorMatrix.BT601, ColorRange.LIMITED, (41, 240, 110)),
        ((255, 0, 0), ColorMatrix.BT601, ColorRange.FULL, (76, 85, 255)),
        ((255, 0, 0), ColorMatrix.BT709, ColorRange.LIMITED, (63, 102, 240)),
        ((0, 255, 0), ColorMatrix.BT709, ColorRange.LIMITED, (173, 42, 26)),
        ((0, 0, 255), ColorMatrix.BT709, ColorRange.LIMITED, (32, 240, 118)),
        ((255, 0, 0), ColorMatrix.BT2020, ColorRange.LIMITED, (74, 97, 240)),
    ],
)
def test_known_colors(
    color_rgb: tuple[int, int, int], matrix: ColorMatrix, color_range: ColorRange, expected: tuple[int, int, int]
) -> None:
    assert rgb_to_yuv(color_rgb, matrix, color_range) == expected


@pytest.mark.parametrize(("matrix", "color_range"), EVERY_KIND)
def test_grey_has_no_chroma(matrix: ColorMatrix, color_range: ColorRange) -> None:
    black, white = (16, 235) if color_range is ColorRange.LIMITED else (0, 255)
    assert rgb_to_yuv((0, 0, 0), matrix, color_range) == (black, 128, 128)
    assert rgb_to_yuv((255, 255, 255), matrix, color_range) == (white, 128, 128)


@pytest.mark.parametrize(("matrix", "color_range"), EVERY_KIND)
def test_there_and_back(matrix: ColorMatrix, color_range: ColorRange) -> None:
    there, back = rgb_to_yuv_affine(matrix, color_range), yuv_to_rgb_affine(matrix, color_range)
    color = np.array([12.0, 200.0, 99.0])
    yuv = there[:, :3] @ color + there[:, 3]
    np.testing.assert_allclose(back[:, :3] @ yuv + back[:, 3], color, atol=1e-9)
