import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_server.frames import ColorMatrix, ColorRange, InvalidPictureError, Picture


def planes(
    luma: tuple[int, int], chroma: tuple[int, int], sample_type: type[np.generic] = np.uint8
) -> tuple[NDArray[np.generic], ...]:
    return np.zeros(luma, sample_type), np.zeros(chroma, sample_type), np.zeros(chroma, sample_type)


@pytest.mark.parametrize(
    ("luma", "chroma"), [((4, 6), (2, 3)), ((5, 7), (3, 4)), ((1, 1), (1, 1)), ((720, 1), (360, 1))]
)
def test_chroma_is_half_rounded_up(luma: tuple[int, int], chroma: tuple[int, int]) -> None:
    picture = Picture(planes(luma, chroma), ColorMatrix.BT601, ColorRange.FULL)
    assert picture.size_hw == luma
    assert not picture.is_rgb


@pytest.mark.parametrize("chroma", [(5, 7), (5, 4), (3, 7), (3, 4)])
def test_chroma_may_be_whole_on_either_side(chroma: tuple[int, int]) -> None:
    picture = Picture(planes((5, 7), chroma), ColorMatrix.BT601)
    assert picture.shapes == ((5, 7), chroma, chroma)
    assert repr(picture) == f"Picture(7x5 yuv, chroma {chroma[1]}x{chroma[0]}, 8 bits, bt601 limited)"


def test_samples_of_16_bits_are_of_10() -> None:
    picture = Picture(planes((4, 6), (2, 3), np.uint16))
    assert picture.bits == 10
    assert repr(picture) == "Picture(6x4 yuv, chroma 3x2, 10 bits, bt709 limited)"


def test_rgb_has_one_plane() -> None:
    picture = Picture((np.zeros((3, 5, 3), np.uint8),))
    assert picture.size_hw == (3, 5)
    assert picture.is_rgb
    assert repr(picture) == "Picture(5x3 rgb)"


def test_rows_may_be_wider_than_the_picture() -> None:
    wide = np.zeros((8, 64), np.uint8)
    Picture((wide[:, :10], wide[:4, :5], wide[4:, :5]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((), "3 planes"),
        (planes((4, 4), (2, 2))[:2], "3 planes"),
        (planes((5, 5), (2, 2)), "plane U must be 3x3"),
        ((*planes((4, 4), (2, 2))[:2], np.zeros((2, 3), np.uint8)), "plane V must be 2x2"),
        ((*planes((4, 4), (4, 2))[:2], np.zeros((4, 4), np.uint8)), "plane V must be 4x2"),
        (planes((8, 8), (8, 2)), "plane U must be 8x4"),
        ((np.zeros((4, 4, 4), np.uint8),), "plane RGB must be 4x4x3"),
        ((np.zeros((4, 4), np.uint8),), "plane RGB must be 4x4x3"),
        ((np.zeros(4, np.uint8),), "plane RGB"),
        ((np.zeros(4, np.uint8), *planes((4, 4), (2, 2))[1:]), "plane Y"),
        ((np.zeros((4, 4, 3), np.float32),), "uint8"),
        ((np.zeros((4, 4, 3), np.uint16),), "plane RGB must be uint8"),
        (planes((4, 4), (2, 2), np.float32), "plane Y must be uint8 or uint16"),
        ((np.zeros((4, 4), np.uint16), *planes((4, 4), (2, 2))[1:]), "plane U must be uint16"),
        (tuple(plane[:, ::2] for plane in planes((4, 8), (2, 8), np.uint16)), "packed"),
        ((np.zeros((0, 4, 3), np.uint8),), "empty"),
        ((np.zeros((4, 8, 3), np.uint8)[:, ::2],), "packed"),
        ((np.zeros((4, 4, 3), np.uint8)[::-1],), "forward rows"),
        ((np.zeros((4, 4, 3), np.uint8)[:, :, ::-1],), "packed"),
        ((np.broadcast_to(np.zeros((1, 4, 3), np.uint8), (4, 4, 3)),), "forward rows"),
    ],
)
def test_planes_that_are_no_picture_are_refused(bad: tuple[NDArray[np.generic], ...], message: str) -> None:
    with pytest.raises(InvalidPictureError, match=message):
        Picture(bad)
