"""What a header says of tracks that are not read is no promise; files that are cut off are in test_field_clocks.py."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from segtriton_client.truncation import TruncationCheck


def write_two_videos(path: Path, *, seconds: tuple[int, int]) -> Path:
    """A Matroska file of two videos, of so many seconds each, at four frames a second."""
    with av.open(path, "w") as container:
        streams = [container.add_mux_stream("mjpeg", rate=4, width=16, height=16) for _ in seconds]
        packets: list[Any] = []
        for stream, length in zip(streams, seconds, strict=True):
            for number in range(4 * length):
                packet: Any = av.Packet(b"picture")
                packet.stream, packet.time_base = stream, Fraction(1, 4)
                packet.pts = packet.dts = number
                packet.duration, packet.is_keyframe = 1, True
                packets.append(packet)
        for packet in sorted(packets, key=lambda packet: packet.dts):
            container.mux(packet)
    return path


def read(path: Path, num_tracks: int, *, cut: int = 0) -> list[str]:
    """The notes after the first tracks have been read, all but the `cut` last packets."""
    with av.open(path) as container:
        video, *others = container.streams.video[:num_tracks]
        check = TruncationCheck(container, video, others)
        packets = [packet for packet in container.demux(video, *others) if packet.size]
        for _ in check.watch(packets[: len(packets) - cut]):
            assert check.notes == []
        return check.notes


@pytest.mark.parametrize(("num_tracks", "cut", "is_named"), [(2, 0, False), (1, 0, False), (2, 3, False), (2, 6, True)])
def test_a_duration_is_that_of_all_tracks_within_a_second(
    tmp_path: Path, num_tracks: int, cut: int, is_named: bool
) -> None:
    path = write_two_videos(tmp_path / "given.mkv", seconds=(1, 4))

    assert bool(read(path, num_tracks, cut=cut)) == is_named


def test_a_reading_that_is_left_tells_nothing(tmp_path: Path) -> None:
    with av.open(write_two_videos(tmp_path / "given.mkv", seconds=(4, 4))) as container:
        check = TruncationCheck(container, container.streams.video[0], [container.streams.video[1]])
        next(check.watch(container.demux()))

    assert check.notes == []
