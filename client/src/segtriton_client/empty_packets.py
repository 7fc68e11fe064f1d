"""Packets of H.264 and HEVC that hold delimiters and messages alone: libavcodec refuses them, but nothing is lost."""

from __future__ import annotations

from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream

# Slices and parameter sets.
_DECODED_UNITS = {"h264": "1-5|7-8", "hevc": "0-34"}


class EmptyPackets:
    """Tells which packets of one video give a decoder nothing."""

    def __init__(self, video: VideoStream) -> None:
        """Open FFmpeg's filter for the codec, if it can be."""
        self._filter: BitStreamFilterContext | None = None
        units = _DECODED_UNITS.get(video.codec_context.name)
        if units is not None:
            try:
                self._filter = BitStreamFilterContext(f"filter_units=pass_types={units}", video)
            except av.error.FFmpegError:
                return  # its header is damaged, which the decoder says

    def is_empty(self, packet: av.Packet[Any]) -> bool:
        """Tell whether nothing of a packet is decoded."""
        if self._filter is None or not packet.size:
            return False
        try:
            return not self._filter.filter(av.Packet(bytes(packet)))
        except av.error.FFmpegError:
            return False
