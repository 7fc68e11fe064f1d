"""What crosses the wire between a segtriton client and server.

Versions, tensor specs, validated messages, error codes and session ids.
No I/O and no third-party import but numpy happens here.
"""

from segtriton_protocol.errors import ErrorCode, SegtritonError
from segtriton_protocol.formats import ColorTags, Framing, VideoFormat
from segtriton_protocol.messages import (
    Cancel,
    ClientMessage,
    Credit,
    End,
    Ended,
    Failed,
    Migrate,
    Open,
    Opened,
    Output,
    OutputSpec,
    Packets,
    ServerMessage,
    parse_request,
    parse_response,
)
from segtriton_protocol.packets import Drop, DropReason, Packet
from segtriton_protocol.session_ids import is_session_id, new_session_id
from segtriton_protocol.version import PROTOCOL_VERSION

__all__ = [
    "PROTOCOL_VERSION",
    "Cancel",
    "ClientMessage",
    "ColorTags",
    "Credit",
    "Drop",
    "DropReason",
    "End",
    "Ended",
    "ErrorCode",
    "Failed",
    "Framing",
    "Migrate",
    "Open",
    "Opened",
    "Output",
    "OutputSpec",
    "Packet",
    "Packets",
    "SegtritonError",
    "ServerMessage",
    "VideoFormat",
    "is_session_id",
    "new_session_id",
    "parse_request",
    "parse_response",
]
