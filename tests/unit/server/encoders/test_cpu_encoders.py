"""The CPU's encoders take one picture or mask at a time, with its one tag."""

import zlib
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from segtriton_protocol import ColorTags, OutputSpec
from segtriton_server.encoders.encoder import EncodedFrame, Encoder, EncoderSetup, FrameTag
from segtriton_server.encoders.ladder import choose_encoder
from segtriton_server.frames import Picture, Plane

TALL = (256, 64)  # x264 makes no slices of less than four rows of macroblocks
TAGS = [FrameTag(seq, 1000 - seq, 40 + seq) for seq in range(5)]


def open_encoder(name: str, **asked: Any) -> Encoder:
    setup = EncoderSetup(
        mask_hw=(12, 16),
        time_base=Fraction(1, 1000),
        frame_rate=None,
        color=ColorTags(),
        output=OutputSpec(encoder=name, preset="ultrafast"),
        **{"size_hw": (48, 64), "num_threads": 2, "low_delay": False, **asked},
    )
    return choose_encoder(setup)[0]


def grey() -> Picture:
    planes: tuple[Plane, ...] = tuple(np.full(shape, 128, np.uint8) for shape in ((48, 64), (24, 32), (24, 32)))
    return Picture(planes)


@pytest.mark.parametrize("name", ["h264", "mjpeg"])
def test_each_picture_comes_out_with_its_own_tag(name: str) -> None:
    encoder = open_encoder(name)
    encoded = []
    for tag in TAGS:
        canvas = encoder.canvas(grey())
        for plane in canvas.pictures.planes:
            plane[...] = 128
        encoded += encoder.encode(canvas, (tag,))
    encoded += encoder.flush()
    encoder.close()

    assert [frame.tag for frame in encoded] == TAGS
    assert encoded[0].is_keyframe


@pytest.mark.parametrize("name", ["h264", "mjpeg"])
@pytest.mark.parametrize("tags", [[], TAGS[:2]], ids=["none", "two"])
def test_a_picture_has_one_tag(name: str, tags: list[FrameTag]) -> None:
    encoder = open_encoder(name)

    with pytest.raises(ValueError, match="unpack"):
        encoder.encode(encoder.canvas(grey()), tags)
    with pytest.raises(TypeError):
        encoder.encode_masks(np.zeros((12, 16), np.uint8), TAGS[:1])


def test_a_mask_comes_out_whole() -> None:
    encoder = open_encoder("mask")
    mask = np.arange(192, dtype=np.uint8).reshape(12, 16)
    (frame,) = encoder.encode_masks(mask, TAGS[:1])

    assert encoder.takes_mask
    assert frame.tag == TAGS[0]
    assert zlib.decompress(frame.payload) == mask.tobytes()
    assert encoder.flush() == []
    with pytest.raises(ValueError, match="unpack"):
        encoder.encode_masks(mask, TAGS[:2])


def encode_all(encoder: Encoder, count: int) -> tuple[list[EncodedFrame], int]:
    """Noise, and after how many pictures the first packet came."""
    encoded: list[EncodedFrame] = []
    first, random = 0, np.random.default_rng(3)
    for seq in range(count):
        canvas = encoder.canvas(grey())
        for plane in canvas.pictures.planes:
            plane[...] = random.integers(0, 256, plane.shape, np.uint8)
        encoded += encoder.encode(canvas, (FrameTag(seq, seq, 1),))
        first = first or (seq + 1 if encoded else 0)
    encoded += encoder.flush()
    encoder.close()
    return encoded, first


def test_with_frame_threads_pictures_are_coded_side_by_side() -> None:
    encoded, first = encode_all(open_encoder("h264", size_hw=TALL, num_frame_threads=3), 12)

    assert [frame.tag.seq for frame in encoded] == list(range(12))
    assert first == 1 + 3 + 1  # each thread has one, and the look-ahead
    assert {count_slices(frame.payload) for frame in encoded} == {1}


@pytest.mark.parametrize(("asked", "held"), [({"num_frame_threads": 1}, 1), ({"low_delay": True}, 0)])
def test_with_one_frame_thread_pictures_are_shared_between_threads(asked: dict[str, Any], held: int) -> None:
    encoded, first = encode_all(open_encoder("h264", size_hw=TALL, **asked), 12)

    assert [frame.tag.seq for frame in encoded] == list(range(12))
    assert first == 1 + held
    assert {count_slices(frame.payload) for frame in encoded} == {2}


def test_what_x264_makes_depends_on_its_threads_only() -> None:
    payloads = [
        [frame.payload for frame in encode_all(open_encoder("h264", num_frame_threads=count), 12)[0]]
        for count in (2, 2, 3, 3)
    ]

    assert payloads[0] == payloads[1]
    assert payloads[2] == payloads[3]


def count_slices(payload: bytes) -> int:
    """The slices of a picture in H.264's Annex B."""
    return sum(unit[0] & 31 in (1, 5) for unit in payload.split(b"\0\0\1")[1:])
