from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from sei_messages import captions, with_h264_captions

from segtriton_server.media.frame_copier import FrameCopier


def decode_captioned(size: tuple[int, int], pixel_format: str = "yuv420p") -> av.VideoFrame:
    """A picture of an encoder's, with captions beside it."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.framerate = pixel_format, 25
    frame = av.VideoFrame(*size, pixel_format)
    frame.pts = 0
    (packet,) = [*encoder.encode(frame), *encoder.encode(None)]
    decoder: Any = av.CodecContext.create("h264", "r")
    (decoded,) = [*decoder.decode(av.Packet(with_h264_captions(bytes(packet), 3))), *decoder.decode(None)]
    return decoded


def pixels(frame: av.VideoFrame) -> np.ndarray:
    return np.frombuffer(memoryview(frame.planes[0]), np.uint8)


def test_a_copy_has_the_captions_and_memory_of_its_own() -> None:
    frame = decode_captioned((64, 48))
    before = pixels(frame).copy()
    copy = FrameCopier("yuv420p").copy(frame)
    pixels(copy)[:] = 7

    assert bytes(copy.side_data["A53_CC"]) == captions(3)
    assert (pixels(frame) == before).all()


def test_an_encoder_may_choose_what_a_copy_becomes() -> None:
    frame = decode_captioned((64, 48))

    assert frame.pict_type == PictureType.I
    assert FrameCopier("yuv420p").copy(frame).pict_type == PictureType.NONE


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p"])
def test_sizes_may_change_and_the_format_is_the_one_asked_for(pixel_format: str) -> None:
    copier = FrameCopier("yuv420p")
    copies = [copier.copy(decode_captioned(size, pixel_format)) for size in ((64, 48), (96, 64), (64, 48))]

    assert [(copy.width, copy.height, copy.format.name) for copy in copies] == [
        (64, 48, "yuv420p"),
        (96, 64, "yuv420p"),
        (64, 48, "yuv420p"),
    ]
