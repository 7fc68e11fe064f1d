"""Codes what servers do not decode, raw pictures of cameras and numbered images, for the way there."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from segtriton_client.first_picture import FirstPicture
from segtriton_protocol import ColorTags, Framing, VideoFormat

# Nearly without loss, and with no picture held back.
_OPTIONS = {"preset": "ultrafast", "crf": "10", "tune": "zerolatency"}
_LOCAL_CODECS = ("rawvideo", "wrapped_avframe", "png", "bmp", "tiff", "webp", "ppm", "gif", "apng", "webp_anim")
_GROUP = 50
# What RGB pictures are, and the matrix and range that they are coded with (ITU-T H.273: BT.709, sRGB, BT.709).
_OF_RGB = ColorTags(primaries=1, transfer=13, matrix=1)


def needs_coding(codec: str) -> bool:
    """Tell whether a codec's packets are pictures that no server takes."""
    return codec in _LOCAL_CODECS


class Reencoder:
    """H.264 of a stream's pictures, at their own size and times: 4:2:0, or 4:4:4 where a side is odd.

    Attributes:
        note: one sentence for the report.
    """

    def __init__(self, stream: VideoStream, first_picture: FirstPicture) -> None:
        """Open the encoder for a stream of pictures; the first is noted in `first_picture`."""
        self._first_picture = first_picture
        source = stream.codec_context
        self._codec = source.name
        self.note = f"The input is {source.name}; it was coded as H.264 for the way to the server."
        self._is_rgb = source.format is not None and source.format.is_rgb
        self._time_base = stream.time_base or Fraction(1, 1000)
        self._context = av.CodecContext.create("libx264", "w")
        self._context.width, self._context.height = source.width, source.height
        self._context.pix_fmt = "yuv444p" if source.width % 2 or source.height % 2 else "yuv420p"
        self._context.time_base = self._time_base
        self._context.gop_size = _GROUP
        self._context.max_b_frames = 0
        self._context.options = dict(_OPTIONS)
        self._context.open(strict=False)

    def describe(self, source: VideoFormat) -> VideoFormat:
        """Return the coding of what comes out, as the source's with another codec."""
        return replace(
            source,
            codec="h264",
            framing=Framing.ANNEX_B,
            extradata=b"",
            color=_OF_RGB if self._is_rgb else source.color,
            pixel_format=self._context.pix_fmt or "",
            reorder_frames=0,
        )

    def encode(self, packet: av.Packet[Any]) -> list[av.Packet[Any]]:
        """Take a packet of pictures; return the coded ones."""
        frames: list[av.VideoFrame] = packet.decode()
        for frame in frames[:1]:
            self._first_picture.take(frame, self._codec)
        return [coded for frame in frames for coded in self._encode(frame)]

    def _encode(self, frame: av.VideoFrame) -> list[av.Packet[Any]]:
        picture = self._convert(frame)
        picture.pts, picture.time_base = frame.pts, self._time_base
        duration = frame.duration
        coded = self._context.encode(picture)
        for packet in coded:
            packet.duration = duration or 0
        return list(coded)

    def _convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        size_and_format = self._context.width, self._context.height, self._context.pix_fmt
        if not self._is_rgb:
            return frame.reformat(*size_and_format)
        return frame.reformat(
            *size_and_format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
