"""Turns the service's small mask frames into a lossless grey video."""

from __future__ import annotations

import dataclasses
import zlib
from fractions import Fraction

import av
import numpy as np

from segtriton_client.errors import IntegrityError
from segtriton_client.local_encoder import LOSSLESS, LocalEncoder
from segtriton_client.muxer import OutputFile
from segtriton_protocol import ColorTags, HdrMetadata, Packet, VideoFormat


class MaskWriter:
    """Writes mask frames: each payload is the zlib stream of height x width bytes."""

    def __init__(self, output: OutputFile, video: VideoFormat, size: tuple[int, int]) -> None:
        """Add the track: `video` is the input's, `size` the masks' (width, height) in pixels."""
        self._shape = size[::-1]
        # A mask covers the picture whatever its own size: so do its samples.
        aspect = (video.sample_aspect or 1) * Fraction(video.width * size[1], video.height * size[0])
        shown = dataclasses.replace(
            video, sample_aspect=aspect.limit_denominator(1 << 15), color=ColorTags(), hdr=HdrMetadata()
        )
        self._encoder = LocalEncoder(output, shown, size, pixel_format="gray", options=LOSSLESS)

    def write(self, packet: Packet) -> None:
        """Decode and write one mask."""
        frame = av.VideoFrame.from_ndarray(decode_mask(packet.payload, self._shape), "gray")
        self._encoder.encode(frame, packet.pts, packet.duration)

    def finish(self) -> None:
        """Write what is left in the encoder."""
        self._encoder.finish()


def decode_mask(payload: bytes, shape: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return a mask, UINT8 [height, width]; raises IntegrityError."""
    size = shape[0] * shape[1]
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(payload, size + 1)
    except zlib.error:
        raw = b""
    if len(raw) != size:
        raise IntegrityError("A mask does not inflate to its size.")
    return np.frombuffer(raw, np.uint8).reshape(shape)
