"""A video track with a display matrix, for packets that were encoded elsewhere.

PyAV writes a display matrix only for tracks that have a codec context, and makes one without an
encoder only from a template: so the template is a picture of 16 x 16, encoded in memory.
"""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

_ENCODERS = {"h264": ("libx264", "yuv420p"), "mjpeg": ("mjpeg", "yuvj420p")}
_SIDE = 16


def can_turn(codec: str) -> bool:
    """Tell whether a track of the codec can have a display matrix."""
    return codec in _ENCODERS


def add_turned_stream(
    container: OutputContainer,
    codec: str,
    extradata: bytes,
    size: tuple[int, int],
    time_base: Fraction,
    rotation: int,
) -> VideoStream:
    """Add a track of (width, height) whose pictures a player turns by `rotation` degrees counter-clockwise."""
    with av.open(_encode_template(codec), "r") as source:
        stream: VideoStream = container.add_stream_from_template(source.streams.video[0])
    context: Any = stream.codec_context
    context.width, context.height = size
    context.extradata = extradata or None
    context.time_base = time_base
    stream.time_base = time_base
    stream.set_display_rotation(rotation)
    return stream


def _encode_template(codec: str) -> BytesIO:
    encoder, pixel_format = _ENCODERS[codec]
    buffer = BytesIO()
    with av.open(buffer, "w", "matroska") as container:
        stream: Any = container.add_stream(encoder, rate=25)
        stream.width = stream.height = _SIDE
        stream.pix_fmt = pixel_format
        picture = av.VideoFrame.from_ndarray(np.zeros((_SIDE, _SIDE, 3), np.uint8), "rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    buffer.seek(0)
    return buffer
