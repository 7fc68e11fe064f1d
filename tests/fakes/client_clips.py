"""Clips for the client's tests, as small as they can be, and what their results are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from numbered_clips import Recipe

CFR = tuple(range(0, 20 * 512, 512))
VFR = (0, 500, 1100, 1300, 2800, 5000, 5001, 9000, 9700)
LATE = tuple(3333 + step for step in CFR)
TIME_BASE = Fraction(1, 12800)


def make_clip(
    path: Path,
    stamps: Sequence[int] = CFR,
    *,
    time_base: Fraction = TIME_BASE,
    b_frames: int = 2,
    audio: bool = False,
    rotation: int = 0,
) -> Path:
    """Write a small clip whose frames have the pts `stamps`."""
    look = {"size": (64, 48), "options": {"bf": str(b_frames)}, "rotation": rotation}
    return Recipe(stamps=stamps, time_base=time_base, audio_tracks=int(audio), **look).write_as(path)


def slow_clip(path: Path) -> Path:
    """A clip of one frame a second."""
    return make_clip(path, range(0, 12800 * 30, 12800), b_frames=0)


def frame_times(path: Path) -> list[Fraction]:
    """Return the exact time of each decoded frame, in the order shown."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def rotation_of(path: Path) -> int:
    """Return how a player turns the first frame."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).rotation


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Return the time and bytes of each audio packet."""
    with av.open(str(path)) as container:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
