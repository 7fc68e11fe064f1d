"""The two ways to speak to a client: protocol v1, and the contract of the CV-CUDA Triton sample."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from segtriton_protocol import AnswerId, Ended, ErrorCode, Failed, Opened, Packet, SegtritonError, ServerMessage
from segtriton_protocol import tensors as specs
from segtriton_protocol.server_messages import PackedOutput
from segtriton_protocol.tensors import Tensors


class Responder(Protocol):
    """The way back to the client, through the sender of one Triton request.

    The last response carries the final flag itself. Were the flag sent after it, a client that hangs up as soon as it
    has the response would cancel the request in the moment in which Triton ends it, which corrupts Triton's memory.
    """

    def send(self, tensors: Tensors, *, is_final: bool = False) -> None:
        """Send one response; nothing may follow a final one."""

    def fail(self, text: str) -> None:
        """Send one response that is a Triton error, and final."""

    def close(self) -> None:
        """Send the final flag alone; nothing may follow."""

    def is_cancelled(self) -> bool:
        """Whether the client has cancelled the request or is gone."""


class Dialect(Protocol):
    """Turns a session's messages into responses; its outputs are `PackedOutput`.

    Attributes:
        knows_migrate: whether its clients go on elsewhere when told.
        tells_received: whether its clients say how many answers they have read.
    """

    knows_migrate: bool
    tells_received: bool

    def send(
        self,
        responder: Responder,
        message: ServerMessage,
        *,
        answer_id: AnswerId | None = None,
        is_final: bool = False,
    ) -> None:
        """Send one message in the client's language; Ended, Failed and a final one end the request."""


class ProtocolDialect:
    """Protocol v1: each message is one response."""

    knows_migrate = True
    tells_received = True

    def send(
        self,
        responder: Responder,
        message: ServerMessage,
        *,
        answer_id: AnswerId | None = None,
        is_final: bool = False,
    ) -> None:
        """Send one message."""
        responder.send(message.to_tensors(answer_id), is_final=is_final or isinstance(message, Ended | Failed))


class SampleDialect:
    """The sample's contract: one response a packet, Annex B with parameter sets at each keyframe."""

    knows_migrate = False
    tells_received = False

    def __init__(self) -> None:
        self._parameter_sets = b""
        self._size_hw = (0, 0)

    def send(
        self,
        responder: Responder,
        message: ServerMessage,
        *,
        answer_id: AnswerId | None = None,
        is_final: bool = False,
    ) -> None:
        """Send the packets of an Output, the mark of the end, or an error."""
        match message:
            case Opened():
                self._parameter_sets = message.output_extradata
                self._size_hw = (message.output_height, message.output_width)
            case PackedOutput():
                for packet in message.block.unpack():
                    responder.send(self._packet(packet))
            case Ended():
                responder.send(self._response(b"", (0, 0), is_last=True), is_final=True)
            case Failed():
                responder.fail(str(message.error))

    def _packet(self, packet: Packet) -> Tensors:
        parameter_sets = self._parameter_sets if packet.is_keyframe else b""
        return self._response(parameter_sets + packet.payload, self._size_hw, is_last=False)

    def _response(self, payload: bytes, size_hw: tuple[int, int], *, is_last: bool) -> Tensors:
        return {
            specs.PACKET_OUT.name: np.frombuffer(payload, np.uint8),
            specs.FRAME_SIZE.name: np.array(size_hw, np.uint64),
            specs.LAST_PACKET_OUT.name: np.array([is_last]),
        }


def internal_error() -> SegtritonError:
    """Return the error for what should not have happened; details stay in the log."""
    return SegtritonError(ErrorCode.INTERNAL, "The server met an unexpected error.")
