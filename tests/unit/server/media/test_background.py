"""A background is decoded once, within bounds, and shown by time."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segtriton_client.coded_background import code_background
from segtriton_protocol import Background, ErrorCode, SegtritonError, VideoFormat
from segtriton_protocol.packets import PacketBlock
from segtriton_server.media.background import BackgroundLoop, decode_background, open_background

VIDEO = VideoFormat("h264", 96, 64, Fraction(1, 25))
LEVELS = (40, 90, 140, 190)


def write_clip(path: Path, levels: tuple[int, ...] = LEVELS, rate: int = 5) -> Path:
    """Grey pictures, one level after the other."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height = 96, 64
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), level, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def background(tmp_path: Path) -> Background:
    found = code_background(write_clip(tmp_path / "clip.mp4"), VIDEO)
    assert found is not None
    return found


def decode(background: Background, pixel_format: str = "yuv420p", max_seconds: float = 5.0) -> BackgroundLoop:
    return decode_background(background, open_background(background.video, pixel_format), max_seconds)


def levels_of(loop: BackgroundLoop) -> list[int]:
    """The grey level of each picture, 0..255, from its luma of limited range."""
    return [round((float(picture.planes[0].mean()) - 16) * 255 / 219) for picture in loop.pictures]


def test_pictures_follow_each_other_by_time_again_and_again(background: Background) -> None:
    loop = decode(background)

    assert np.abs(np.subtract(levels_of(loop), LEVELS)).max() <= 2
    times = [Fraction(number, 25) for number in range(0, 60)]
    shown = [loop.position_at(time) for time in times]
    # Each lasts a fifth of a second, the last as long as the others.
    assert shown == [int(time * 5) % len(LEVELS) for time in times]
    assert loop.position_at(Fraction(10**9) + Fraction(1, 4)) == loop.position_at(Fraction(1, 4))
    assert loop.position_at(Fraction(-1, 10)) == len(LEVELS) - 1


def test_a_single_picture_is_shown_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "still.png"
    av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), "rgb24").save(path)
    background = code_background(path, VIDEO)
    assert background is not None
    loop = decode(background)

    assert len(loop.pictures) == 1
    assert {loop.position_at(Fraction(time)) for time in (0, 1, 10**6)} == {0}


@pytest.mark.parametrize(
    ("pixel_format", "shapes", "kind"),
    [
        ("yuv420p", ((64, 96), (32, 48), (32, 48)), np.uint8),
        ("yuv422p", ((64, 96), (64, 48), (64, 48)), np.uint8),
        ("yuv444p10le", ((64, 96), (64, 96), (64, 96)), np.uint16),
    ],
)
def test_pictures_are_of_the_sessions_pixel_format_and_own_their_memory(
    background: Background, pixel_format: str, shapes: tuple[tuple[int, ...], ...], kind: type
) -> None:
    for picture in decode(background, pixel_format).pictures:
        assert picture.shapes == shapes
        for plane in picture.planes:
            assert plane.dtype == kind
            assert plane.base is None


def test_pictures_come_in_the_order_of_their_times_whatever_their_packets_are_called(background: Background) -> None:
    packets = [replace(packet, seq=7) for packet in background.block.unpack()]
    loop = decode(replace(background, block=PacketBlock.pack(packets)))

    assert np.abs(np.subtract(levels_of(loop), LEVELS)).max() <= 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda packets: [replace(packets[0], payload=b"\xff" * 60)], ErrorCode.UNSUPPORTED_FORMAT),
        (lambda packets: [*packets[:2], replace(packets[2], payload=b"\0\0\1\x65")], ErrorCode.UNSUPPORTED_FORMAT),
        (lambda packets: packets[1:], ErrorCode.UNSUPPORTED_FORMAT),
    ],
    ids=["no video", "a packet cut off", "no keyframe"],
)
def test_what_does_not_decode_is_refused(background: Background, change: object, code: ErrorCode) -> None:
    packets = change(background.block.unpack())  # type: ignore[operator]
    with pytest.raises(SegtritonError, match="background") as caught:
        decode(replace(background, block=PacketBlock.pack(packets)))
    assert caught.value.code is code


def test_a_picture_larger_than_it_was_said_to_be_is_refused(tmp_path: Path) -> None:
    larger = code_background(write_clip(tmp_path / "clip.mp4"), replace(VIDEO, width=384, height=256))
    assert larger is not None
    with pytest.raises(SegtritonError) as caught:
        decode(Background(replace(larger.video, width=96, height=64), larger.block))
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


def test_decoding_that_takes_too_long_is_cut(background: Background) -> None:
    with pytest.raises(SegtritonError, match="takes longer than 0 s") as caught:
        decode(background, max_seconds=0.0)
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED


def test_a_codec_that_no_video_may_have_is_refused(background: Background) -> None:
    with pytest.raises(SegtritonError, match="codec 'png'") as caught:
        decode(replace(background, video=replace(background.video, codec="png")))
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
