"""Codes what servers do not decode, raw pictures of cameras and numbered images, for the way there."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.video.stream import VideoStream

from segtriton_protocol import ColorTags, Framing, VideoFormat

# Nearly without loss, and with no picture held back.
_OPTIONS = {"preset": "ultrafast", "crf": "10", "tune": "zerolatency"}
_LOCAL_CODECS = ("rawvideo", "wrapped_avframe", "png", "bmp", "tiff", "webp", "ppm")
_GROUP = 50


def needs_coding(codec: str) -> bool:
    """Tell whether a codec's packets are pictures that no server takes."""
    return codec in _LOCAL_CODECS


class Reencoder:
    """H.264 of a stream's pictures, at their own times, in 4:2:0 of the next even size.

    Attributes:
        note: one sentence for the report.
    """

    def __init__(self, stream: VideoStream) -> None:
        """Open the encoder for a stream of pictures."""
        source = stream.codec_context
        self.note = f"The input is {source.name}; it was coded as H.264 for the way to the server."
        self._time_base = stream.time_base or Fraction(1, 1000)
        self._context = av.CodecContext.create("libx264", "w")
        self._context.width, self._context.height = source.width & ~1, source.height & ~1
        self._context.pix_fmt = "yuv420p"
        self._context.time_base = self._time_base
        self._context.gop_size = _GROUP
        self._context.max_b_frames = 0
        self._context.options = dict(_OPTIONS)
        self._context.open(strict=False)

    def describe(self, stream: VideoStream) -> VideoFormat:
        """Return the coding of what comes out."""
        return VideoFormat(
            codec="h264",
            width=self._context.width,
            height=self._context.height,
            time_base=self._time_base,
            framing=Framing.ANNEX_B,
            frame_rate=stream.average_rate,
            color=ColorTags(),
        )

    def encode(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """Take a packet of pictures; return the coded ones."""
        frames: list[av.VideoFrame] = packet.decode()
        return [coded for frame in frames for coded in self._encode(frame)]

    def _encode(self, frame: av.VideoFrame) -> list[av.Packet[Any]]:
        small = frame.reformat(self._context.width, self._context.height, "yuv420p")
        small.pts, small.time_base = frame.pts, self._time_base
        duration = frame.duration
        coded = self._context.encode(small)
        for packet in coded:
            packet.duration = duration or 0
        return list(coded)
