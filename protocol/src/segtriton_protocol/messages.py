"""Protocol v1: the messages between client and server.

A client's message is one Triton request on a streaming model, recognised by the request
parameter `segtriton_protocol`; `segtriton_message` names its kind and `segtriton_session` the
session. The answers of a session arrive as responses of its OPEN request, in order; those of a client that
acknowledges arrive as responses of whichever of its requests, and their `answer_id` gives the order.

    client                         server
    OPEN            ->
                    <-             OPENED (session id, decoder, encoder, credit) or FAILED
    PACKETS...      ->
                    <-             OUTPUT... (packets, drops, credit)
    END             ->
                    <-             OUTPUT..., ENDED (counts, digest)

A message's body is a JSON object in the tensor MESSAGE; packets ride in PACKET_INDEX and
PACKET_IN or PACKET_OUT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from segtriton_protocol.answer_ids import AnswerId
from segtriton_protocol.client_messages import (
    Acknowledge,
    Cancel,
    ClientMessage,
    Describe,
    End,
    Open,
    PackedPackets,
    Packets,
)
from segtriton_protocol.errors import ErrorCode, SegtritonError
from segtriton_protocol.json_fields import JsonFields
from segtriton_protocol.server_messages import Described, Ended, Failed, Migrate, Opened, Output, ServerMessage
from segtriton_protocol.session_ids import is_session_id
from segtriton_protocol.tensors import (
    MESSAGE_OUT,
    PARAMETER_MESSAGE,
    PARAMETER_PROTOCOL,
    PARAMETER_SESSION,
    Tensors,
    required_tensor,
)
from segtriton_protocol.version import PROTOCOL_VERSION

Parameters = Mapping[str, Any]

_Reader = Callable[[str, Tensors], ClientMessage]

_REQUESTS: dict[str, _Reader] = {
    kind.kind: kind.from_tensors for kind in (Open, Packets, Acknowledge, End, Cancel, Describe)
}
_PACKED_REQUESTS: dict[str, _Reader] = {**_REQUESTS, PackedPackets.kind: PackedPackets.from_tensors}


def parse_request(parameters: Parameters, tensors: Tensors) -> ClientMessage:
    """Return the message of a request.

    Raises:
        SegtritonError: PROTOCOL_MISMATCH, INVALID_MESSAGE, INVALID_PACKET, DUPLICATE_OPEN,
            UNKNOWN_SESSION or UNKNOWN_ENCODER.
    """
    return _parse(parameters, tensors, _REQUESTS)


def parse_packed_request(parameters: Parameters, tensors: Tensors) -> ClientMessage:
    """Return the message of a request with its packets as they came, `PackedPackets`; raises as `parse_request`."""
    return _parse(parameters, tensors, _PACKED_REQUESTS)


def _parse(parameters: Parameters, tensors: Tensors, readers: Mapping[str, _Reader]) -> ClientMessage:
    version = parameters.get(PARAMETER_PROTOCOL)
    if version != PROTOCOL_VERSION:
        raise SegtritonError(
            ErrorCode.PROTOCOL_MISMATCH,
            f"The client speaks protocol {version!r:.20}, this server speaks {PROTOCOL_VERSION}.",
        )
    kind = str(parameters.get(PARAMETER_MESSAGE, ""))
    session_id = str(parameters.get(PARAMETER_SESSION, ""))
    from_tensors = readers.get(kind)
    if from_tensors is None:
        raise SegtritonError(
            ErrorCode.INVALID_MESSAGE,
            f"The parameter {PARAMETER_MESSAGE} must be one of {', '.join(_REQUESTS)}, not {kind!r:.40}.",
        )
    if kind not in (Open.kind, Describe.kind) and not is_session_id(session_id):
        raise SegtritonError(ErrorCode.UNKNOWN_SESSION, f"{kind.upper()} names no session.")
    return from_tensors(session_id, tensors)


_RESPONSES: dict[str, Callable[[JsonFields, Tensors], ServerMessage]] = {
    kind.kind: kind.from_json for kind in (Opened, Output, Ended, Failed, Migrate, Described)
}


def parse_response(tensors: Tensors) -> ServerMessage:
    """Return the message of a response; raises INVALID_MESSAGE or INVALID_PACKET."""
    fields = JsonFields.parse(required_tensor(tensors, MESSAGE_OUT), "response")
    message = _RESPONSES[fields.choice("kind", _RESPONSES)](fields, tensors)
    answer_id = AnswerId.from_json(fields, "answer_id")
    return message if answer_id is None else replace(message, answer_id=answer_id)
