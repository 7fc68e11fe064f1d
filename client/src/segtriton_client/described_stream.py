"""A video track with display matrix, aspect, colours and HDR10's metadata, for packets that were encoded elsewhere.

PyAV writes these only for tracks that have a codec context, and makes one without an encoder only from a
template: so the template is a picture of 16 x 16, encoded in memory.
"""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from segtriton_client.hdr_boxes import add_hdr_boxes
from segtriton_protocol import ColorTags, HdrMetadata, VideoFormat

_ENCODERS = {"h264": ("libx264", "yuv420p"), "mjpeg": ("mjpeg", "yuvj420p")}
_SIDE = 16
_LIMITED_RANGE, _FULL_RANGE = 1, 2
_RGB, _UNSPECIFIED, _BT601 = 0, 2, 5  # ITU-T H.273 code points


def can_describe(codec: str) -> bool:
    """Tell whether there is a template of the codec."""
    return codec in _ENCODERS


def add_described_stream(
    container: OutputContainer, codec: str, extradata: bytes, size: tuple[int, int], video: VideoFormat
) -> VideoStream:
    """Add a track of (width, height) in pixels, shown as the input's video is."""
    with av.open(_encode_template(codec, video.hdr), "r") as source:
        stream: VideoStream = container.add_stream_from_template(source.streams.video[0])
    context = stream.codec_context
    context.width, context.height = size
    context.extradata = extradata or None
    context.time_base = stream.time_base = video.time_base
    describe_pictures(stream, video)
    if codec == "mjpeg":  # JFIF knows nothing else
        context.colorspace, context.color_range = _BT601, _FULL_RANGE
    return stream


def describe_pictures(stream: VideoStream, video: VideoFormat) -> None:
    """Say how a player shows a track: turned, how wide a sample is, in which colours."""
    stream.codec_context.sample_aspect_ratio = video.sample_aspect or Fraction(0, 1)
    describe_colors(stream.codec_context, video.color)
    if video.display_matrix:
        stream.set_display_matrix(video.display_matrix)
    elif video.rotation:
        stream.set_display_rotation(-video.rotation)


def describe_colors(context: VideoCodecContext, color: ColorTags) -> None:
    """Say in which colours a track's pictures are."""
    context.color_primaries, context.color_trc = color.primaries, color.transfer
    context.colorspace = _UNSPECIFIED if color.matrix == _RGB else color.matrix
    context.color_range = _FULL_RANGE if color.full_range else _LIMITED_RANGE


def _encode_template(codec: str, hdr: HdrMetadata) -> BytesIO:
    encoder, pixel_format = _ENCODERS[codec]
    buffer = BytesIO()
    with av.open(buffer, "w", "mp4") as container:
        stream: Any = container.add_stream(encoder, rate=25)
        stream.width = stream.height = _SIDE
        stream.pix_fmt = pixel_format
        picture = av.VideoFrame.from_ndarray(np.zeros((_SIDE, _SIDE, 3), np.uint8), "rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    content = buffer.getvalue()
    return BytesIO(add_hdr_boxes(content, hdr) if hdr and codec == "h264" else content)
