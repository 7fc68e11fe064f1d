"""A short clip made in code, each of whose pictures carries its own number, so that a wrong one is seen.

The number is written in binary, a tile for each bit: a bright left half is 1, a bright right half 0. A faint overlay on
what a network takes for a person, or what an encoder loses, does not turn one into the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import ColorTags, Framing, Packet, VideoFormat

_COLUMNS, _ROWS = 4, 2
_TILE = 64
_BLACK, _WHITE = 16, 235
_BT709 = 1
WIDTH, HEIGHT = _COLUMNS * _TILE, _ROWS * _TILE
MOST_FRAMES = 1 << (_COLUMNS * _ROWS)
FRAME_RATE = 25
TIME_BASE = Fraction(1, 12800)
_STEP = 512


@dataclass(frozen=True)
class Clip:
    """A video's format and its packets, in the order in which they are shown."""

    video: VideoFormat
    packets: tuple[Packet, ...]


def make_clip(frames: int) -> Clip:
    """Return an H.264 clip of 256x128 pixels at 25 frames a second whose timestamps are a little uneven."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate = TIME_BASE, Fraction(FRAME_RATE)
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "20"}
    coded = [packet for number in range(frames) for packet in encoder.encode(_frame(number))]
    coded += encoder.encode(None)
    packets = tuple(
        Packet(number, packet.pts, packet.dts, _STEP, packet.is_keyframe, bytes(packet))
        for number, packet in enumerate(coded)
    )
    video = VideoFormat(
        codec="h264",
        width=WIDTH,
        height=HEIGHT,
        time_base=TIME_BASE,
        framing=Framing.ANNEX_B,
        frame_rate=Fraction(FRAME_RATE),
        color=ColorTags(_BT709, _BT709, _BT709),
        pixel_format="yuv420p",
    )
    return Clip(video, packets)


def draw_number(number: int) -> NDArray[np.uint8]:
    """Return the brightness [128, 256] of the picture that carries `number`."""
    halves = np.empty((_ROWS * _COLUMNS, 2), np.uint8)
    for bit, half in enumerate(halves):
        half[:] = (_WHITE, _BLACK) if number >> bit & 1 else (_BLACK, _WHITE)
    tiles = halves.reshape(_ROWS, _COLUMNS * 2)
    return np.kron(tiles, np.ones((_TILE, _TILE // 2), np.uint8))


def read_number(brightness: NDArray[np.uint8]) -> int:
    """Return the number that a picture of any size shows; brightness is [height, width]."""
    height, width = brightness.shape
    even = brightness[: height // _ROWS * _ROWS, : width // (2 * _COLUMNS) * 2 * _COLUMNS]
    halves = even.reshape(_ROWS, height // _ROWS, 2 * _COLUMNS, width // (2 * _COLUMNS)).mean(axis=(1, 3))
    pairs = halves.reshape(_ROWS * _COLUMNS, 2)
    return sum(1 << bit for bit, (left, right) in enumerate(pairs) if left > right)


def _frame(number: int) -> av.VideoFrame:
    luma = draw_number(number)
    chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(np.vstack([luma, chroma]), "yuv420p")
    frame.pts, frame.time_base = number * _STEP + number % 3, TIME_BASE
    return frame
