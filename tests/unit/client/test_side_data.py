from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from photographs import write_photograph

from segtriton_client.side_data import display_matrix_of, side_data_of

ONE = 1 << 16


PIXELS = np.zeros((16, 32, 3), np.uint8)


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def test_a_type_that_pyav_does_not_list_hides_no_other(tmp_path: Path) -> None:
    frame = first_frame(write_photograph(tmp_path / "a.jpg", PIXELS, 6))

    found = side_data_of(frame, "mjpeg")
    assert Type.DISPLAYMATRIX in found
    assert 31 in {kind.value for kind in found}  # EXIF, which PyAV lists from version 19 on
    assert display_matrix_of(frame, "mjpeg")[:5] == (0, ONE, 0, -ONE, 0)


def test_a_photograph_that_lies_as_it_is_seen_has_no_turn(tmp_path: Path) -> None:
    matrix = display_matrix_of(first_frame(write_photograph(tmp_path / "a.jpg", PIXELS, 1)), "mjpeg")
    assert matrix in ((), (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30))


@pytest.mark.parametrize(("degrees", "start"), [(0, ()), (-90, (0, ONE, 0, -ONE, 0)), (180, (-ONE, 0, 0, 0, -ONE))])
def test_png_is_asked_for_its_angle_alone(degrees: int, start: tuple[int, ...]) -> None:
    class Png:
        rotation = degrees

        @property
        def side_data(self) -> object:
            raise AssertionError("reading it crashes the process")

    assert display_matrix_of(Png(), "png")[:5] == start  # type: ignore[arg-type]
    assert side_data_of(Png(), "png") == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("pixel_format", ["pal8", "monob", "gray12le", "gbrap", "yuv420p10le", "yuv411p"])
def test_pictures_of_any_kind_are_looked_at(pixel_format: str) -> None:
    assert side_data_of(av.VideoFrame(32, 16, pixel_format), "any") == {}
