"""Clips whose pictures carry their own number in luma, so that a lost, doubled or foreign one shows.

They are packets without a file, as their clients send packet by packet, and some of them lost or in a wrong order.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
import numpy as np
from block_code import draw_number, read_number
from raw_client import Clip, code_clip

from segtriton_protocol import Framing, OutputSpec, VideoFormat

WIDTH, HEIGHT = 64, 48
TIME_BASE = Fraction(1, 90_000)
# An overlay that is not there: pictures come back as they were, but for what the encoder loses.
UNCHANGED = OutputSpec(effect="overlay", strength=0.0, encoder="h264", preset="ultrafast", crf=8)


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
    video = VideoFormat("h264", WIDTH, HEIGHT, TIME_BASE, Framing.ANNEX_B)
    return code_clip(encoder, video, (_frame(number, pts) for number, pts in enumerate(_timestamps(recipe))))


def shown_number(frame: av.VideoFrame) -> int | None:
    """The number that a picture shows, None where it cannot be read."""
    return read_number(frame.to_ndarray(format="yuv420p"))


def _timestamps(recipe: Recipe) -> list[int]:
    steps = random.Random(recipe.seed).choices([1500, 3000, 3003, 9000], k=recipe.frames)
    return list(itertools.accumulate(steps, initial=12_345))[: recipe.frames]


def _frame(number: int, pts: int) -> av.VideoFrame:
    planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    draw_number(planes, number)
    frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
    frame.pts, frame.time_base = pts, TIME_BASE
    return frame
