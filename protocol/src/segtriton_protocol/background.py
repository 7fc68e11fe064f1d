"""What effect `image` shows behind the subject."""

from __future__ import annotations

from dataclasses import dataclass

from segtriton_protocol.errors import ErrorCode, SegtritonError
from segtriton_protocol.formats import VideoFormat
from segtriton_protocol.json_fields import JsonFields
from segtriton_protocol.packets import NO_TIMESTAMP, PacketBlock

MAX_BACKGROUND_BYTES = 16 << 20
"""The most bytes that the packets of a background have together."""

BACKGROUND_MEMORY_BYTES = 256 << 20
"""What its pictures take together on a server, in 8-bit 4:2:0, if no setting of the server's says otherwise."""


@dataclass(frozen=True, slots=True)
class Background:
    """A picture, or a video that begins again when it is over, coded as any other video.

    Its pictures have the size, the colours and the orientation of those that they stand behind. Each of its packets
    gives at most one picture, and each has a pts and a duration in the time base of `video`, its own.

    Attributes:
        video: how it is coded.
        block: its packets, at most `MAX_BACKGROUND_BYTES`.
    """

    video: VideoFormat
    block: PacketBlock

    @classmethod
    def read(cls, fields: JsonFields, index: bytes, payload: bytes | memoryview, behind: VideoFormat) -> Background:
        """Check what came in OPEN: how it is coded, its packets' index, INT64 [n, 6] in bytes, and their bytes.

        Raises:
            SegtritonError: INVALID_MESSAGE, INVALID_PACKET (no packet, or one without a pts) or LIMIT_EXCEEDED.
        """
        if len(payload) > MAX_BACKGROUND_BYTES:
            raise SegtritonError(
                ErrorCode.LIMIT_EXCEEDED, f"The background has more than {MAX_BACKGROUND_BYTES} bytes: {len(payload)}."
            )
        video = VideoFormat.from_json(fields)
        for side in ("width", "height"):
            if getattr(video, side) != getattr(behind, side):
                raise fields.refuse(side, f"that of the video, {getattr(behind, side)}")
        block = PacketBlock.read(index, payload)
        if not len(block) or any(row[2] == NO_TIMESTAMP for row in block.rows):
            raise SegtritonError(ErrorCode.INVALID_PACKET, "A background has packets, each of them with a pts.")
        return cls(video, block)
