from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

import av
import pytest
from av.sidedata.sidedata import Type

from segtriton_client.picture_metadata import PictureMetadata, read_metadata
from segtriton_protocol import HdrMetadata

# x and y of red, green, blue and white, then the least and the greatest luminance.
POINTS = ((17, 25), (8, 25), (53, 200), (69, 100), (15, 100), (6, 100), (3127, 10000), (329, 1000))
LUMINANCES = ((1, 200), (1000, 1))


class FakeData(bytes):
    """Side data of a kind."""

    type: Type


def make_data(kind: Type, content: bytes) -> FakeData:
    data = FakeData(content)
    data.type = kind
    return data


def frame_with(*side_data: FakeData) -> av.VideoFrame:
    frame = SimpleNamespace(side_data={data.type: data for data in side_data})
    frame.reformat = lambda width, height, kind: frame
    return cast(av.VideoFrame, frame)


def display(points: Any = POINTS, luminances: Any = LUMINANCES, flags: tuple[int, int] = (1, 1)) -> FakeData:
    numbers = [number for pair in (*points, *luminances) for number in pair]
    return make_data(Type.MASTERING_DISPLAY_METADATA, struct.pack("=22i", *numbers, *flags))


def test_rationals_of_any_denominator_become_the_integers_of_the_wire() -> None:
    light = make_data(Type.CONTENT_LIGHT_LEVEL, struct.pack("=2I", 1000, 400))
    found = PictureMetadata.of(frame_with(display(), light), "hevc")

    assert found.hdr == HdrMetadata((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10_000_000, 50), (1000, 400))


@pytest.mark.parametrize("flags", [(0, 1), (1, 0), (0, 0)])
def test_a_display_that_is_known_in_part_is_none(flags: tuple[int, int]) -> None:
    assert PictureMetadata.of(frame_with(display(flags=flags)), "hevc").hdr == HdrMetadata()


def test_hostile_rationals_are_none_or_bounded() -> None:
    assert PictureMetadata.of(frame_with(display(points=((1, 0), *POINTS[1:]))), "hevc").hdr == HdrMetadata()
    (*points, greatest, least) = PictureMetadata.of(
        frame_with(display(((-5, 1), (2**31 - 1, 1), *POINTS[2:]), ((-1, 1), (2**31 - 1, 1)))), "hevc"
    ).hdr.mastering_display
    assert points[:2] == [0, 65535]
    assert (greatest, least) == (2**31 - 1, 0)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Type.DYNAMIC_HDR_PLUS, "HDR10+"),
        (Type.DYNAMIC_HDR_VIVID, "HDR Vivid"),
        (Type.AMBIENT_VIEWING_ENVIRONMENT, "ambient viewing"),
        (Type.SPHERICAL, "360-degree"),
        (Type.AFD, "active format"),
    ],
)
def test_what_no_encoder_writes_is_named(kind: Type, name: str) -> None:
    (note,) = PictureMetadata.of(frame_with(make_data(kind, b"\0")), "hevc").notes

    assert name in note


def test_what_does_not_decode_says_nothing() -> None:
    assert read_metadata(b"\x00\x00\x00\x01\x65garbage", "h264", b"") == PictureMetadata()
