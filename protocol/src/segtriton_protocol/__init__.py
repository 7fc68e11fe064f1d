"""What crosses the wire between a segtriton client and server.

Versions, tensor specs, validated messages, error codes and session ids.
No I/O and no third-party import but numpy happens here.
"""

from segtriton_protocol.answer_ids import AnswerId
from segtriton_protocol.background import BACKGROUND_MEMORY_BYTES, MAX_BACKGROUND_BYTES, Background
from segtriton_protocol.client_messages import Acknowledge, Cancel, ClientMessage, Describe, End, Open, Packets
from segtriton_protocol.errors import ErrorCode, SegtritonError
from segtriton_protocol.formats import ColorTags, Framing, VideoFormat
from segtriton_protocol.hdr_metadata import HdrMetadata
from segtriton_protocol.matte_spec import MatteSpec
from segtriton_protocol.messages import parse_request, parse_response
from segtriton_protocol.orientation import UPRIGHT, Orientation
from segtriton_protocol.output_spec import (
    EFFECTS,
    ENCODERS,
    IMAGE_EFFECT,
    KEEP_PIXEL_FORMAT,
    PIXEL_FORMATS,
    PLAIN_PIXEL_FORMAT,
    X264_PRESETS,
    OutputSpec,
)
from segtriton_protocol.packets import Drop, DropReason, Packet, PacketBlock
from segtriton_protocol.server_messages import Credit, Described, Ended, Failed, Migrate, Opened, Output, ServerMessage
from segtriton_protocol.session_ids import is_session_id, new_session_id
from segtriton_protocol.version import PROTOCOL_VERSION

__all__ = [
    "BACKGROUND_MEMORY_BYTES",
    "EFFECTS",
    "ENCODERS",
    "IMAGE_EFFECT",
    "KEEP_PIXEL_FORMAT",
    "MAX_BACKGROUND_BYTES",
    "PIXEL_FORMATS",
    "PLAIN_PIXEL_FORMAT",
    "PROTOCOL_VERSION",
    "UPRIGHT",
    "X264_PRESETS",
    "Acknowledge",
    "AnswerId",
    "Background",
    "Cancel",
    "ClientMessage",
    "ColorTags",
    "Credit",
    "Describe",
    "Described",
    "Drop",
    "DropReason",
    "End",
    "Ended",
    "ErrorCode",
    "Failed",
    "Framing",
    "HdrMetadata",
    "MatteSpec",
    "Migrate",
    "Open",
    "Opened",
    "Orientation",
    "Output",
    "OutputSpec",
    "Packet",
    "PacketBlock",
    "Packets",
    "SegtritonError",
    "ServerMessage",
    "VideoFormat",
    "is_session_id",
    "new_session_id",
    "parse_request",
    "parse_response",
]
