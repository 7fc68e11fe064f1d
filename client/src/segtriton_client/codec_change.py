"""A video of MPEG-TS that goes on in another codec, under the same number.

FFmpeg's demuxer keeps the first codec's parser, so its packets tell nothing of it. In MPEG-TS each picture of H.264 and
HEVC begins with an access unit delimiter, and each group of MPEG-2 with a sequence header.
"""

from __future__ import annotations

from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

OTHER_CODEC = "other_codec"
"""Why a packet was not sent: it is of another codec than the video began with."""

_START_CODE = b"\0\0\1"
_HEAD_BYTES = 16
_H264_DELIMITER, _HEVC_DELIMITER, _MPEG2_SEQUENCE = b"\x09", b"\x46\x01", b"\xb3"
_TRAILING_BITS, _TRAILING = 0x1F, 0x10


class CodecChange:
    """Finds the packets of a video that are of another codec than the first.

    Attributes:
        note: what it changed to last, and where, in one sentence; empty before.
        num_left_out: packets of other codecs.
        first_left_out: the number of the first of them, None while there is none.
    """

    def __init__(self, container: InputContainer, video: VideoStream) -> None:
        """Look only where packets say of which codec they are."""
        self.note = ""
        self.num_left_out = 0
        self.first_left_out: int | None = None
        self._codec = video.codec_context.name
        self._found = self._codec
        self._knows = container.format.name == "mpegts" and self._codec in ("h264", "hevc", "mpeg2video")
        self._count = 0

    def is_other(self, packet: av.Packet[Any]) -> bool:
        """Tell whether a packet, the next of the video, is of another codec."""
        if not self._knows or not packet.size:
            return False
        found = _codec_of(bytes(memoryview(packet)[:_HEAD_BYTES])) or self._found
        if found not in (self._found, self._codec):
            self.note = (
                f"From packet {self._count} on the video is in {found} and not in {self._codec}; that was left out."
            )
        is_other = found != self._codec
        if is_other and self.first_left_out is None:
            self.first_left_out = self._count
        self._found = found
        self._count += 1
        self.num_left_out += is_other
        return is_other


def _codec_of(head: bytes) -> str | None:
    """Return the codec that a packet's first unit is of, None where that could be any."""
    unit = head.partition(_START_CODE)[2]
    if unit.startswith(_HEVC_DELIMITER):
        return "hevc"
    if unit.startswith(_MPEG2_SEQUENCE):
        return "mpeg2video"
    if unit.startswith(_H264_DELIMITER) and unit[1:2] and unit[1] & _TRAILING_BITS == _TRAILING and not any(unit[2:4]):
        return "h264"
    return None
