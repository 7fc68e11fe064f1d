"""Small clips of every codec, from which the fuzzer makes its inputs; nobody looks at their pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import av
import numpy as np
from raw_client import Clip, code_clip

from segtriton_protocol import Framing, Packet, VideoFormat

os.environ.setdefault("SVT_LOG", "1")  # errors only
av.logging.set_level(av.logging.PANIC)

_SIZE = (64, 48)
_FRAMES = 8
_TIME_BASE = Fraction(1, 25)


@dataclass(frozen=True)
class Original:
    """How a clip is coded."""

    name: str
    encoder: str
    codec: str
    framing: Framing = Framing.RAW
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict, hash=False)
    has_header: bool = False


_X264, _X265 = {"preset": "ultrafast"}, {"preset": "ultrafast", "x265-params": "log-level=none"}
ORIGINALS = (
    Original("h264", "libx264", "h264", Framing.ANNEX_B, options=_X264),
    Original("h264 b-frames", "libx264", "h264", Framing.ANNEX_B, options={"preset": "medium", "bf": "3", "g": "5"}),
    Original("h264 interlaced", "libx264", "h264", Framing.ANNEX_B, options={**_X264, "flags": "+ildct+ilme"}),
    Original("h264 10 bit", "libx264", "h264", Framing.ANNEX_B, "yuv420p10le", _X264),
    Original("h264 4:4:4", "libx264", "h264", Framing.ANNEX_B, "yuv444p", _X264),
    Original("h264 header apart", "libx264", "h264", Framing.ANNEX_B, options=_X264, has_header=True),
    Original("hevc", "libx265", "hevc", Framing.ANNEX_B, options=_X265),
    Original("hevc 10 bit", "libx265", "hevc", Framing.ANNEX_B, "yuv420p10le", _X265),
    Original("vp8", "libvpx", "vp8", options={"deadline": "realtime"}),
    Original("vp9", "libvpx-vp9", "vp9", options={"deadline": "realtime"}),
    Original("av1", "libsvtav1", "av1", Framing.OBU, options={"preset": "12"}),
    Original("mpeg2", "mpeg2video", "mpeg2video"),
    Original("mpeg4", "mpeg4", "mpeg4", options={"bf": "2"}),
    Original("mjpeg", "mjpeg", "mjpeg", pixel_format="yuvj420p"),
)


@cache
def original_clip(original: Original) -> Clip:
    """The clip, coded once."""
    encoder = av.CodecContext.create(original.encoder, "w")
    encoder.width, encoder.height = _SIZE
    encoder.pix_fmt, encoder.time_base, encoder.framerate = original.pixel_format, _TIME_BASE, 25
    encoder.options = original.options
    if original.has_header:
        encoder.flags |= av.codec.context.Flags.global_header.value
    encoder.open()
    extradata = encoder.extradata or b"" if original.has_header else b""
    video = VideoFormat(original.codec, *_SIZE, _TIME_BASE, original.framing, extradata)
    return code_clip(encoder, video, (_frame(number, original.pixel_format) for number in range(_FRAMES)), duration=1)


@cache
def length_prefixed() -> Clip:
    """H.264 as MP4 files have it: lengths before the units, and the parameter sets in an avcC."""
    clip = original_clip(ORIGINALS[0])
    units = [unit for unit in _units(clip.packets[0].payload) if unit]
    sps = next(unit for unit in units if unit[0] & 31 == 7)
    pps = next(unit for unit in units if unit[0] & 31 == 8)
    header = bytes((1, *sps[1:4], 0xFF, 0xE1)) + _sized(sps, 2) + b"\1" + _sized(pps, 2)
    packets = tuple(
        _with(packet, lambda payload: b"".join(_sized(u, 4) for u in _units(payload))) for packet in clip.packets
    )
    video = VideoFormat("h264", *_SIZE, _TIME_BASE, Framing.LENGTH_PREFIXED, header)
    return Clip(video, packets)


def _with(packet: Packet, change: Callable[[bytes], bytes]) -> Packet:
    return Packet(packet.seq, packet.pts, packet.dts, packet.duration, packet.is_keyframe, change(packet.payload))


def _units(payload: bytes) -> list[bytes]:
    return [unit for unit in payload.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if unit]


def _sized(unit: bytes, length_bytes: int) -> bytes:
    return len(unit).to_bytes(length_bytes, "big") + unit


def _frame(number: int, pixel_format: str) -> av.VideoFrame:
    dice = np.random.default_rng(number)
    picture = np.full((_SIZE[1], _SIZE[0], 3), 40 + 20 * number, np.uint8)
    picture[8:24, 4 * number : 4 * number + 20] = dice.integers(0, 255, (16, 20, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixel_format)
    frame.pts, frame.time_base = number, _TIME_BASE
    return frame
