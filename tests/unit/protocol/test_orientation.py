"""The judge is FFmpeg: its own filters turn pictures, its own functions make the matrices."""

import io
import struct
from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest

from segtriton_protocol import ColorTags, Orientation, SegtritonError, VideoFormat
from segtriton_protocol.json_fields import JsonFields

ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]
PICTURE = np.arange(6, dtype=np.uint8).reshape(2, 3)
ONE = 1 << 16


def matrix_of(degrees: float, *, hflip: bool = False, vflip: bool = False) -> tuple[int, ...]:
    """What a player reads of a track that was turned by degrees counter-clockwise, then flipped."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", "mov") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        stream.set_display_rotation(degrees, hflip=hflip, vflip=vflip)
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        side_data = next(container.decode(video=0)).side_data
        return struct.unpack("=9i", bytes(side_data["DISPLAYMATRIX"])) if "DISPLAYMATRIX" in side_data else ()


def video(**changes: object) -> dict[str, object]:
    return VideoFormat("h264", 16, 16, Fraction(1, 25)).to_json() | changes


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("vflip", [False, True])
@pytest.mark.parametrize("degrees", [90, 180, 270, 93, -84])
def test_a_matrix_is_the_turn_and_the_flips_that_it_was_made_of(degrees: int, hflip: bool, vflip: bool) -> None:
    expected = np.rot90(PICTURE, round(degrees / 90))
    if hflip:
        expected = expected[:, ::-1]
    if vflip:
        expected = expected[::-1]
    orientation = Orientation.from_matrix(matrix_of(degrees, hflip=hflip, vflip=vflip))
    np.testing.assert_array_equal(orientation.to_shown(PICTURE), expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_what_is_shown_goes_back_to_what_is_stored(orientation: Orientation) -> None:
    shown = orientation.to_shown(PICTURE)
    assert shown.shape == orientation.stored_hw((2, 3))
    np.testing.assert_array_equal(orientation.to_stored(shown), PICTURE)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_an_orientation_is_a_mirror_and_then_a_turn(orientation: Orientation) -> None:
    mirrored = PICTURE[:, ::-1] if orientation.is_mirrored else PICTURE
    np.testing.assert_array_equal(orientation.to_shown(PICTURE), np.rot90(mirrored, -orientation.rotation // 90))


@pytest.mark.parametrize("degrees", range(-360, 361, 45))
def test_a_rotation_is_clockwise_and_goes_to_the_nearest_quarter(degrees: int) -> None:
    turned = Orientation.from_rotation(degrees).to_shown(PICTURE)
    nearest = {round((degrees + shift) / 90) for shift in (-1, 1)}
    assert any(np.array_equal(turned, np.rot90(PICTURE, -turns)) for turns in nearest)


def test_a_matrix_goes_before_a_rotation() -> None:
    turned = VideoFormat.from_json(JsonFields(video(rotation=90), "video"))
    mirrored = VideoFormat.from_json(
        JsonFields(video(rotation=90, display_matrix=[-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30]), "video")
    )
    assert turned.orientation.rotation == 90
    assert mirrored.orientation == Orientation(flips_columns=True)
    assert turned.color == ColorTags()


@pytest.mark.parametrize("matrix", [[1], [0] * 8, [0] * 10, [1 << 31] + [0] * 8, [True] * 9, "turned", [0.5] * 9])
def test_another_matrix_is_refused_with_its_name(matrix: object) -> None:
    with pytest.raises(SegtritonError, match="display_matrix"):
        VideoFormat.from_json(JsonFields(video(display_matrix=matrix), "video"))
