"""The CPU's encoders take one picture or mask at a time, with its one tag."""

import zlib
from fractions import Fraction

import numpy as np
import pytest

from segtriton_protocol import ColorTags, OutputSpec
from segtriton_server.encoders.encoder import Encoder, EncoderSetup, FrameTag
from segtriton_server.encoders.ladder import choose_encoder
from segtriton_server.frames import Picture, Plane

TAGS = [FrameTag(seq, 1000 - seq, 40 + seq) for seq in range(5)]


def open_encoder(name: str) -> Encoder:
    setup = EncoderSetup(
        size_hw=(48, 64),
        mask_hw=(12, 16),
        time_base=Fraction(1, 1000),
        frame_rate=None,
        color=ColorTags(),
        output=OutputSpec(encoder=name, preset="ultrafast"),
        num_threads=2,
        low_delay=False,
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
