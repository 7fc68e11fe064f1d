import numpy as np
import pytest
from heif_files import make_heic

from segtriton_client.heif_grid import HeifGrid, read_grid

GREY = np.full((64, 96, 3), 90, np.uint8)
HEIC = make_heic([GREY] * 6, 2, 3, (280, 120), quarter_turns=3)


def test_a_grid_is_read() -> None:
    assert read_grid(HEIC) == HeifGrid((1, 2, 3, 4, 5, 6), 3, (280, 120), 3)


def test_tiles_are_joined_row_by_row_cut_and_turned() -> None:
    tiles = [np.full((2, 2, 3), number, np.uint8) for number in range(6)]
    whole = HeifGrid((1, 2, 3, 4, 5, 6), 3, (5, 3), 1).join(tiles)

    assert whole.shape == (5, 3, 3)
    assert whole[..., 0].tolist() == [[2, 2, 5], [1, 1, 4], [1, 1, 4], [0, 0, 3], [0, 0, 3]]


@pytest.mark.parametrize("length", range(0, 520, 7))
def test_a_file_that_is_cut_off_has_no_grid_or_the_same(length: int) -> None:
    assert read_grid(HEIC[:length]) in (None, read_grid(HEIC))


@pytest.mark.parametrize("position", range(24, 520, 3))
def test_a_damaged_file_raises_nothing(position: int) -> None:
    for value in (0, 1, 255):
        read_grid(HEIC[:position] + bytes((value,)) + HEIC[position + 1 :])


def test_a_mirrored_grid_is_not_understood() -> None:
    assert read_grid(HEIC.replace(b"irot", b"imir")) is None
