"""Clips made in code: B-frames, variable frame rates, offsets, audio."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

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
    video: bool = True,
    size: tuple[int, int] = (64, 48),
    rotation: int = 0,
) -> Path:
    """Write a clip whose frames have the pts `stamps`."""
    with av.open(str(path), "w", container_options={"movie_timescale": "5644800"}) as container:
        if video:
            stream = container.add_stream("libx264", rate=25, options={"bf": str(b_frames), "preset": "veryfast"})
            stream.width, stream.height = size
            stream.codec_context.time_base = time_base
            stream.set_display_rotation(rotation)
        if audio:
            sound = container.add_stream("aac", rate=44100)
        for number, pts in enumerate(stamps if video else ()):
            frame = av.VideoFrame.from_ndarray(_picture(number, size), "rgb24")
            frame.pts, frame.time_base = pts, time_base
            container.mux(stream.encode(frame))
        if video:
            container.mux(stream.encode(None))
        for start in range(0, 22 * 1024 if audio else 0, 1024):
            noise = np.random.default_rng(start).random((2, 1024), np.float32) * 0.1
            tone = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
            tone.sample_rate, tone.pts, tone.time_base = 44100, start, Fraction(1, 44100)
            container.mux(sound.encode(tone))
        if audio:
            container.mux(sound.encode(None))
    return path


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


def _picture(number: int, size: tuple[int, int]) -> np.ndarray:
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : (number * 7) % width + 1] = (200, number * 9 % 256, 40)
    return picture
