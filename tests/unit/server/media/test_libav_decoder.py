"""Packets are decoded together as they are one by one, and a damaged one among them costs no other."""

import gc
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from client_clips import make_clip
from field_clips import SIZE, encode
from h264_bits import without_reorder_depth

from segtriton_client.demuxer import Demuxer
from segtriton_protocol import Framing, Packet, VideoFormat
from segtriton_server.frames import Picture
from segtriton_server.media.decoder import Decoded, FrameGroup
from segtriton_server.media.libav_decoder import LibavDecoder, plane_views
from segtriton_server.media.pixel_formats import num_bits

NUM_FRAMES = 20
GARBAGE = b"\xff" * 60


@pytest.fixture(params=[0, 2], ids=["in-order", "b-frames"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[VideoFormat, list[Packet]]:
    with Demuxer(make_clip(tmp_path / "clip.mp4", b_frames=request.param)) as demuxer:
        return demuxer.format, [packet for packet in demuxer if isinstance(packet, Packet)]


def decode(video: VideoFormat, groups: Sequence[Sequence[Packet]], *, low_delay: bool) -> tuple[list[FrameGroup], int]:
    decoder = LibavDecoder(video, 2, 1 << 20, low_delay=low_delay)
    answers: list[Decoded] = [*(decoder.decode(packets) for packets in groups), decoder.flush()]
    decoder.close()
    return [group for answer in answers for group in answer.groups], sum(answer.damaged for answer in answers)


def luma_by_seq(groups: Sequence[FrameGroup]) -> dict[int, bytes]:
    pixels = {}
    for group in groups:
        assert isinstance(group.pictures, Picture)
        assert group.owner is not None
        (seq,) = group.seqs
        pixels[seq] = np.ascontiguousarray(group.pictures.planes[0]).tobytes()
    return pixels


@pytest.mark.parametrize("low_delay", [True, False], ids=["live", "file"])
@pytest.mark.parametrize("size", [3, 8, NUM_FRAMES])
def test_packets_together_give_what_they_give_one_by_one(
    clip: tuple[VideoFormat, list[Packet]], size: int, low_delay: bool
) -> None:
    video, packets = clip
    alone, _ = decode(video, [[packet] for packet in packets], low_delay=low_delay)
    together, damaged = decode(
        video, [packets[start : start + size] for start in range(0, NUM_FRAMES, size)], low_delay=low_delay
    )

    assert damaged == 0
    assert [group.seqs for group in together] == [group.seqs for group in alone]
    assert luma_by_seq(together) == luma_by_seq(alone)
    assert luma_by_seq(together).keys() == set(range(NUM_FRAMES))
    assert {group.pictures.size_hw for group in together} == {(48, 64)}


@pytest.mark.parametrize("low_delay", [True, False], ids=["live", "file"])
def test_a_damaged_packet_is_counted_and_the_others_go_on(
    clip: tuple[VideoFormat, list[Packet]], low_delay: bool
) -> None:
    video, packets = clip
    packets[7] = replace(packets[7], payload=GARBAGE)
    groups, damaged = decode(video, [packets[:4], packets[4:12], packets[12:]], low_delay=low_delay)

    assert damaged == 1
    assert {seq for group in groups for seq in group.seqs} == set(range(NUM_FRAMES)) - {7}


def test_nothing_but_damage_gives_nothing(clip: tuple[VideoFormat, list[Packet]]) -> None:
    video, packets = clip
    groups, damaged = decode(video, [[replace(packet, payload=GARBAGE) for packet in packets[:3]]], low_delay=True)

    assert (groups, damaged) == ([], 3)


def write_flat(path: Path, pixel_format: str) -> Path:
    unit = 1 << num_bits(pixel_format) - 8
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        frame = av.VideoFrame(64, 48, pixel_format)
        for plane, level in zip(plane_views(frame), (90, 140, 60), strict=True):
            plane.fill(level * unit)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("given", "wanted", "shape", "note"),
    [
        ("yuv422p", "yuv422p", (48, 32), None),
        ("yuv422p", "yuv420p", (24, 32), "The pictures are yuv422p; converted to yuv420p, 8 bits."),
        ("yuv422p", "yuv444p", (48, 64), "The pictures are yuv422p; converted to yuv444p, 8 bits."),
        ("yuv422p", "yuv422p10le", (48, 32), "The pictures are yuv422p; converted to yuv422p10le, 10 bits."),
        ("yuv420p10le", "yuv420p10le", (24, 32), None),
        ("yuv420p10le", "yuv420p", (24, 32), "The pictures are yuv420p10le; converted to yuv420p, 8 bits."),
    ],
)
def test_pictures_have_the_format_that_is_wanted(
    tmp_path: Path, given: str, wanted: str, shape: tuple[int, int], note: str | None
) -> None:
    with Demuxer(write_flat(tmp_path / "clip.mp4", given)) as demuxer:
        decoder = LibavDecoder(demuxer.format, 1, 1 << 20, wanted, low_delay=True)
        packets = [packet for packet in demuxer if isinstance(packet, Packet)]
    (group,) = [*decoder.decode(packets).groups, *decoder.flush().groups]

    assert isinstance(group.pictures, Picture)
    assert group.pictures.shapes == ((48, 64), shape, shape)
    assert group.pictures.bits == num_bits(wanted)
    levels = [float(plane.mean()) / (1 << group.pictures.bits - 8) for plane in group.pictures.planes]
    assert levels == pytest.approx([90, 140, 60], abs=2)
    assert decoder.notes == (() if note is None else (note,))


@pytest.mark.parametrize(("reorder_frames", "low_delay"), [(2, True), (2, False), (None, False)])
def test_the_reorder_depth_need_not_be_learnt(reorder_frames: int | None, *, low_delay: bool) -> None:
    coded = encode("libx264", 9, preset="veryfast", bf="7", profile="main", **{"x264-params": "b-adapt=0"})
    video = VideoFormat("h264", *SIZE, Fraction(1, 25), framing=Framing.ANNEX_B, reorder_frames=reorder_frames)
    packets = [
        Packet(seq, int(one.pts), None, 1, one.is_keyframe, without_reorder_depth(one.payload))
        for seq, one in enumerate(coded)
    ]
    groups, damaged = decode(video, [[packet] for packet in packets], low_delay=low_delay)

    assert damaged == 0
    assert [packets[group.seqs[0]].pts for group in groups] == list(range(9))


def test_frames_go_with_their_last_reference(clip: tuple[VideoFormat, list[Packet]]) -> None:
    video, packets = clip
    gc.collect()
    gc.disable()
    try:
        groups, _ = decode(video, [packets], low_delay=False)
        held = sum(isinstance(tracked, VideoFrame) for tracked in gc.get_objects())
        assert held >= len(groups) > 0
        groups.clear()
        assert not any(isinstance(tracked, VideoFrame) for tracked in gc.get_objects())
    finally:
        gc.enable()
