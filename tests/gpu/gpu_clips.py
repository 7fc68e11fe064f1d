"""Clips made in code: one for each thing that a decoder may meet, small and short.

Their pictures are natural ones, as the GPU's pixels are compared with the CPU's, and numbers would have few colours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path

import av
import numpy as np
from raw_client import Clip, code_clip

from segtriton_protocol import Framing, VideoFormat

os.environ.setdefault("SVT_LOG", "1")  # errors only

RATE = 25
TIME_BASE = Fraction(1, RATE)
_one_at_a_time = threading.Lock()
_FILM = "bigbuckbunny.mp4"
_FILM_FRAMES = 40
_FRAMINGS = {"h264": Framing.ANNEX_B, "hevc": Framing.ANNEX_B, "vp9": Framing.RAW, "av1": Framing.OBU}
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
_FAST = {
    "h264": {"preset": "veryfast", "crf": "18"},
    "hevc": {"preset": "ultrafast", "crf": "18", "x265-params": "log-level=none"},
    "vp9": {"deadline": "good", "cpu-used": "5", "crf": "20", "lag-in-frames": "16", "auto-alt-ref": "1"},
    "av1": {"preset": "10", "crf": "25", "svtav1-params": "enable-overlays=0"},
}


@dataclass(frozen=True)
class Recipe:
    """How a clip is made; `gop` is the distance between keyframes."""

    codec: str
    size_wh: tuple[int, int]
    frames: int = 24
    pixel_format: str = "yuv420p"
    gop: int = 12
    options: dict[str, str] = field(default_factory=dict)


RECIPES = {
    "h264": Recipe("h264", (640, 360), 36, options={"bf": "2", "b-pyramid": "none"}),
    "h264_1080p": Recipe("h264", (1920, 1080), 30),
    "h264_tiny": Recipe("h264", (126, 94)),
    "h264_444": Recipe("h264", (640, 360), pixel_format="yuv444p"),
    # Comes out of every decoder picture by picture.
    "h264_intra": Recipe("h264", (640, 360), 40, gop=1, options={"bf": "0"}),
    "h264_2160p": Recipe("h264", (3840, 2160), options={"preset": "ultrafast"}),
    "hevc": Recipe("hevc", (640, 360)),
    "hevc_10bit": Recipe("hevc", (640, 360), pixel_format="yuv420p10le"),
    "vp9": Recipe("vp9", (640, 360)),
    "vp9_odd": Recipe("vp9", (127, 95)),
    "av1": Recipe("av1", (640, 360)),
}
_BEFORE_CHANGE = Recipe("h264", (640, 360), 20, options={"bf": "0"})
_AFTER_CHANGE = Recipe("h264", (480, 270), 20, options={"bf": "0"})


@cache
def make_clip(name: str) -> Clip:
    """A clip by its name in `RECIPES`, or "h264_size_change"."""
    if name == "h264_size_change":
        return _joined(_encode(_BEFORE_CHANGE), _encode(_AFTER_CHANGE))
    return _encode(RECIPES[name])


def make_file(name: str, folder: Path) -> Path:
    """The clip as an MP4 file: H.264 then is framed by lengths and has its parameter sets in the header."""
    recipe, path = RECIPES[name], folder / f"{name}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(_ENCODERS[recipe.codec], rate=RATE)
        stream.width, stream.height = recipe.size_wh
        stream.pix_fmt = recipe.pixel_format
        stream.gop_size = recipe.gop
        stream.options = {**_FAST[recipe.codec], **recipe.options}
        for frame in source_frames(recipe.size_wh, recipe.frames, recipe.pixel_format):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def source_frames(size_wh: tuple[int, int], count: int, pixel_format: str = "yuv420p") -> list[av.VideoFrame]:
    """Natural pictures that move, with timestamps from 0."""
    made = []
    with _one_at_a_time:  # a frame keeps one scaler, which no two threads may use
        for number, frame in enumerate(islice(_film(), count)):
            scaled = frame.reformat(*size_wh, pixel_format, interpolation="BICUBIC")
            scaled.pts, scaled.time_base = number, TIME_BASE
            # The source's picture types would be taken for orders.
            scaled.pict_type = 0
            made.append(scaled)
    return made


@cache
def source_planes(size_wh: tuple[int, int], count: int) -> tuple[tuple[np.ndarray, ...], ...]:
    """The same as planes (Y, U, V), packed."""
    return tuple(frame_planes(frame) for frame in source_frames(size_wh, count))


@cache
def source_rgb(size_wh: tuple[int, int], count: int) -> tuple[np.ndarray, ...]:
    """The same as RGB [h, w, 3]."""
    return tuple(frame.to_ndarray(format="rgb24") for frame in source_frames(size_wh, count, "rgb24"))


def frame_planes(frame: av.VideoFrame) -> tuple[np.ndarray, ...]:
    """Copies of the planes of a planar 8-bit frame."""
    return tuple(
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width].copy()
        for plane in frame.planes
    )


def damaged(clip: Clip, seq: int, damage: Callable[[bytes], bytes]) -> Clip:
    """The clip with one packet's bytes changed."""
    packets = [
        replace(packet, payload=damage(packet.payload)) if packet.seq == seq else packet for packet in clip.packets
    ]
    return Clip(clip.format, tuple(packets))


def _encode(recipe: Recipe) -> Clip:
    context = av.CodecContext.create(_ENCODERS[recipe.codec], "w")
    context.width, context.height = recipe.size_wh
    context.pix_fmt = recipe.pixel_format
    context.time_base, context.framerate = TIME_BASE, Fraction(RATE)
    context.gop_size = recipe.gop
    context.options = {**_FAST[recipe.codec], **recipe.options}
    video = VideoFormat(
        codec=recipe.codec,
        width=recipe.size_wh[0],
        height=recipe.size_wh[1],
        time_base=TIME_BASE,
        framing=_FRAMINGS[recipe.codec],
        frame_rate=Fraction(RATE),
        pixel_format=recipe.pixel_format,
    )
    frames = source_frames(recipe.size_wh, recipe.frames, recipe.pixel_format)
    return code_clip(context, video, frames, duration=1)


def _joined(first: Clip, second: Clip) -> Clip:
    """One stream whose second half has a size of its own; the packets carry the parameter sets of both."""
    shift = len(first.packets)
    later = tuple(
        replace(packet, seq=packet.seq + shift, pts=(packet.pts or 0) + shift, dts=(packet.dts or 0) + shift)
        for packet in second.packets
    )
    return Clip(first.format, first.packets + later)


@cache
def _film() -> tuple[av.VideoFrame, ...]:
    named = os.environ.get("SEGTRITON_CLIPS")
    path = (Path(named) if named else Path(__file__).parents[2] / ".assets" / "clips") / _FILM
    if not path.is_file():
        return tuple(_texture(number) for number in range(_FILM_FRAMES))
    with av.open(str(path)) as container:
        return tuple(islice(container.decode(video=0), _FILM_FRAMES))


def _texture(number: int) -> av.VideoFrame:
    """Soft blobs of all sizes that drift, each colour by itself."""
    y, x = np.mgrid[0:360, 0:640].astype(np.float32)
    picture = np.full((360, 640, 3), 128, np.float32)
    for octave in range(1, 7):
        for channel in range(3):
            phase = 2.4 * octave * (channel + 1) + 0.05 * number * octave
            wave = np.sin(0.004 * 2**octave * x + phase) * np.cos(0.005 * 2**octave * y - 0.7 * phase)
            picture[..., channel] += 70 / octave * wave
    return av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), "rgb24")
