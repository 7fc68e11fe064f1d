"""Clips whose pictures carry their own number in luma, so that a lost, doubled or foreign one shows."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
import numpy as np
from raw_client import Clip

from segtriton_protocol import Framing, OutputSpec, Packet, VideoFormat

WIDTH, HEIGHT = 64, 48
TIME_BASE = Fraction(1, 90_000)
# An overlay that is not there: pictures come back as they were, but for what the encoder loses.
UNCHANGED = OutputSpec(effect="overlay", strength=0.0, encoder="h264", preset="ultrafast", crf=8)
_COLUMNS, _ROWS = 4, 3
_BLACK, _WHITE = 40, 210


@dataclass(frozen=True)
class Recipe:
    """How a clip is coded; `gop` is the distance between keyframes."""

    frames: int = 48
    gop: int = 12
    b_frames: int = 0
    open_gop: bool = False
    seed: int = 0


RECIPES = (
    Recipe(),
    Recipe(b_frames=3),
    Recipe(b_frames=3, open_gop=True),
    Recipe(frames=90, gop=30, b_frames=2, seed=1),
)


@cache
def stamped_clip(recipe: Recipe) -> Clip:
    """A clip whose packets are numbered in decoding order and whose pictures show their place in time."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base = TIME_BASE
    encoder.gop_size, encoder.max_b_frames = recipe.gop, recipe.b_frames
    # One reference would do; several make the pictures between keyframes need each other.
    encoder.options = {
        "preset": "veryfast",
        "crf": "12",
        "x264-params": f"scenecut=0:keyint={recipe.gop}:min-keyint={recipe.gop}:open-gop={int(recipe.open_gop)}",
    }
    frames = [_frame(number, pts) for number, pts in enumerate(_timestamps(recipe))]
    coded = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    packets = tuple(
        Packet(seq, packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, bytes(packet))
        for seq, packet in enumerate(coded)
    )
    return Clip(VideoFormat("h264", WIDTH, HEIGHT, TIME_BASE, Framing.ANNEX_B), packets)


def shown_number(frame: av.VideoFrame) -> int:
    """The number that a picture shows."""
    luma = frame.to_ndarray(format="yuv420p")[:HEIGHT]
    blocks = luma.reshape(_ROWS, HEIGHT // _ROWS, _COLUMNS, WIDTH // _COLUMNS).mean(axis=(1, 3)).ravel()
    return sum(1 << bit for bit, level in enumerate(blocks) if level > (_BLACK + _WHITE) / 2)


def _timestamps(recipe: Recipe) -> list[int]:
    steps = random.Random(recipe.seed).choices([1500, 3000, 3003, 9000], k=recipe.frames)
    return list(itertools.accumulate(steps, initial=12_345))[: recipe.frames]


def _frame(number: int, pts: int) -> av.VideoFrame:
    bits = np.array([number >> bit & 1 for bit in range(_COLUMNS * _ROWS)]).reshape(_ROWS, _COLUMNS)
    levels = np.where(bits, _WHITE, _BLACK).astype(np.uint8)
    luma = np.kron(levels, np.ones((HEIGHT // _ROWS, WIDTH // _COLUMNS), np.uint8))
    chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), "yuv420p")
    frame.pts, frame.time_base = pts, TIME_BASE
    return frame
