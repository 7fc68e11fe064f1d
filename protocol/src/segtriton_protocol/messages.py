"""Protocol v1: the messages between client and server.

A client's message is one Triton request on a streaming model, recognised by the request
parameter `segtriton_protocol`; `segtriton_message` names its kind and `segtriton_session` the
session. Every answer of a session arrives as a response of its OPEN request, in order.

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
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from segtriton_protocol import tensors as specs
from segtriton_protocol.errors import ErrorCode, SegtritonError
from segtriton_protocol.formats import VideoFormat
from segtriton_protocol.json_fields import JsonFields, encode_bytes, encode_json
from segtriton_protocol.packets import Drop, DropReason, Packet, pack_packets, unpack_packets
from segtriton_protocol.session_ids import is_session_id
from segtriton_protocol.tensors import (
    PARAMETER_MESSAGE,
    PARAMETER_PROTOCOL,
    PARAMETER_SESSION,
    Tensors,
)
from segtriton_protocol.version import PROTOCOL_VERSION

EFFECTS = ("blur", "mask", "overlay", "color")
ENCODERS = ("auto", "h264", "mjpeg", "mask")
MODES = ("file", "live")
X264_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What the client wants back.

    `strength` is 0..1 (blur radius, or opacity of the overlay); `encoder` is a rung of the
    ladder or `auto`; `preset` and `crf` are x264's, `quality` (1..100) is MJPEG's. An empty
    `class_name` is the network's own default.
    """

    effect: str = "blur"
    class_name: str = ""
    strength: float = 0.5
    color_rgb: tuple[int, int, int] = (0, 177, 64)
    encoder: str = "auto"
    preset: str = "superfast"
    crf: int = 23
    quality: int = 90

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "effect": self.effect,
            "class_name": self.class_name,
            "strength": self.strength,
            "color_rgb": list(self.color_rgb),
            "encoder": self.encoder,
            "preset": self.preset,
            "crf": self.crf,
            "quality": self.quality,
        }

    @classmethod
    def from_json(cls, fields: JsonFields) -> OutputSpec:
        """Read the wire form; raises INVALID_MESSAGE or UNKNOWN_ENCODER."""
        default = cls()
        encoder = fields.text("encoder", default.encoder)
        if encoder not in ENCODERS:
            raise SegtritonError(
                ErrorCode.UNKNOWN_ENCODER,
                f"Encoder {encoder!r:.40} is not one of {', '.join(ENCODERS)}.",
            )
        color = fields.integers("color_rgb") or default.color_rgb
        if len(color) != 3 or not all(0 <= level <= 255 for level in color):
            raise fields.refuse("color_rgb", "three integers from 0 to 255")
        return cls(
            effect=fields.choice("effect", EFFECTS, default.effect),
            class_name=fields.text("class_name", ""),
            strength=fields.number("strength", 0.0, 1.0, default.strength),
            color_rgb=(color[0], color[1], color[2]),
            encoder=encoder,
            preset=fields.choice("preset", X264_PRESETS, default.preset),
            crf=fields.integer("crf", 0, 51, default.crf),
            quality=fields.integer("quality", 1, 100, default.quality),
        )


@dataclass(frozen=True, slots=True)
class Credit:
    """How much the client may have sent since OPEN, in all: a packet count and a byte count."""

    packets: int
    payload_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"packets": self.packets, "bytes": self.payload_bytes}

    @classmethod
    def from_json(cls, fields: JsonFields) -> Credit:
        """Read the wire form; raises INVALID_MESSAGE."""
        return cls(packets=fields.integer("packets", 0), payload_bytes=fields.integer("bytes", 0))


# ------------------------------------------------------------------ client to server


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """What every message of a client has: its kind and its session ("" in OPEN)."""

    kind: ClassVar[str]
    session_id: str

    def to_parameters(self) -> dict[str, str | int]:
        """Return the request parameters that go with `to_tensors`."""
        return {
            PARAMETER_PROTOCOL: PROTOCOL_VERSION,
            PARAMETER_MESSAGE: self.kind,
            PARAMETER_SESSION: self.session_id,
        }

    def to_tensors(self) -> Tensors:
        """Return the request's tensors by name."""
        return {}


@dataclass(frozen=True, slots=True)
class Open(ClientMessage):
    """Asks for a session.

    `first_seq` numbers the first packet that follows (a resumed run goes on counting), and
    `wanted_seq` is the first whose output is still missing: frames before it are decoded, as
    later ones need them, and not sent again. `open_key` is unique for each session a client
    asks for, so that a doubled OPEN is seen.
    """

    kind: ClassVar[str] = "open"
    session_id: str = field(default="", init=False)
    video: VideoFormat
    output: OutputSpec = field(default_factory=OutputSpec)
    network: str = ""
    mode: str = "file"
    first_seq: int = 0
    wanted_seq: int = 0
    open_key: str = ""

    def to_tensors(self) -> Tensors:
        """Return the request's tensors by name."""
        wire = {
            "video": self.video.to_json(),
            "output": self.output.to_json(),
            "network": self.network,
            "mode": self.mode,
            "first_seq": self.first_seq,
            "wanted_seq": self.wanted_seq,
            "open_key": self.open_key,
        }
        return {specs.MESSAGE.name: encode_json(wire)}

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Open:
        """Read the request; raises DUPLICATE_OPEN, INVALID_MESSAGE or UNKNOWN_ENCODER."""
        if session_id:
            raise SegtritonError(ErrorCode.DUPLICATE_OPEN, "OPEN must not name a session.", session_id=session_id)
        fields = JsonFields.parse(_required(tensors, specs.MESSAGE), "OPEN")
        return cls(
            video=VideoFormat.from_json(fields.inner("video")),
            output=OutputSpec.from_json(fields.inner("output")),
            network=fields.text("network", ""),
            mode=fields.choice("mode", MODES, "file"),
            first_seq=fields.integer("first_seq", 0, default=0),
            wanted_seq=fields.integer("wanted_seq", 0, default=0),
            open_key=fields.text("open_key", "", max_length=64),
        )


@dataclass(frozen=True, slots=True)
class Packets(ClientMessage):
    """One or many input packets.

    `received` counts the output packets and drop records that the client has read so far.
    """

    kind: ClassVar[str] = "packets"
    packets: tuple[Packet, ...]
    received: int = 0

    def to_tensors(self) -> Tensors:
        """Return the request's tensors by name."""
        index, payload = pack_packets(self.packets)
        return {
            specs.PACKET_INDEX.name: index,
            specs.PACKET_IN.name: payload,
            specs.MESSAGE.name: encode_json({"received": self.received}),
        }

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Packets:
        """Read the request; raises INVALID_MESSAGE or INVALID_PACKET."""
        fields = JsonFields.parse(_required(tensors, specs.MESSAGE), "PACKETS")
        index = _required(tensors, specs.PACKET_INDEX).astype(np.int64, copy=False)
        payload = _required(tensors, specs.PACKET_IN).tobytes()
        return cls(
            session_id=session_id,
            packets=tuple(unpack_packets(index, payload)),
            received=fields.integer("received", 0, default=0),
        )


@dataclass(frozen=True, slots=True)
class End(ClientMessage):
    """Says that no packet follows; `next_seq` is the number the next one would have had."""

    kind: ClassVar[str] = "end"
    next_seq: int

    def to_tensors(self) -> Tensors:
        """Return the request's tensors by name."""
        return {specs.MESSAGE.name: encode_json({"next_seq": self.next_seq})}

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> End:
        """Read the request; raises INVALID_MESSAGE."""
        fields = JsonFields.parse(_required(tensors, specs.MESSAGE), "END")
        return cls(session_id=session_id, next_seq=fields.integer("next_seq", 0))


@dataclass(frozen=True, slots=True)
class Cancel(ClientMessage):
    """Ends the session at once and frees what it holds."""

    kind: ClassVar[str] = "cancel"

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Cancel:
        """Read the request."""
        return cls(session_id=session_id)


_REQUESTS: dict[str, Callable[[str, Tensors], ClientMessage]] = {
    kind.kind: kind.from_tensors for kind in (Open, Packets, End, Cancel)
}


def parse_request(parameters: Parameters, tensors: Tensors) -> ClientMessage:
    """Return the message of a request.

    Raises:
        SegtritonError: PROTOCOL_MISMATCH, INVALID_MESSAGE, INVALID_PACKET, DUPLICATE_OPEN,
            UNKNOWN_SESSION or UNKNOWN_ENCODER.
    """
    version = parameters.get(PARAMETER_PROTOCOL)
    if version != PROTOCOL_VERSION:
        raise SegtritonError(
            ErrorCode.PROTOCOL_MISMATCH,
            f"The client speaks protocol {version!r:.20}, this server speaks {PROTOCOL_VERSION}.",
        )
    kind = str(parameters.get(PARAMETER_MESSAGE, ""))
    session_id = str(parameters.get(PARAMETER_SESSION, ""))
    from_tensors = _REQUESTS.get(kind)
    if from_tensors is None:
        raise SegtritonError(
            ErrorCode.INVALID_MESSAGE,
            f"The parameter {PARAMETER_MESSAGE} must be one of {', '.join(_REQUESTS)}, not {kind!r:.40}.",
        )
    if kind != Open.kind and not is_session_id(session_id):
        raise SegtritonError(ErrorCode.UNKNOWN_SESSION, f"{kind.upper()} names no session.")
    return from_tensors(session_id, tensors)


# ------------------------------------------------------------------ server to client


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """What every answer of a session has."""

    kind: ClassVar[str]

    def to_tensors(self) -> Tensors:
        """Return the response's tensors by name."""
        return {specs.MESSAGE_OUT.name: encode_json({"kind": self.kind, **self.to_json()})}

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Opened(ServerMessage):
    """The session exists: its id, what was chosen for it and why, and the first credit."""

    kind: ClassVar[str] = "opened"
    session_id: str
    network: str
    class_name: str
    classes: tuple[str, ...]
    decoder: str
    encoder: str
    encoder_reason: str
    output_codec: str
    output_extradata: bytes
    output_width: int
    output_height: int
    credit: Credit
    server: str
    pod: str
    limits: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        return {
            "session_id": self.session_id,
            "network": self.network,
            "class_name": self.class_name,
            "classes": list(self.classes),
            "decoder": self.decoder,
            "encoder": self.encoder,
            "encoder_reason": self.encoder_reason,
            "output_codec": self.output_codec,
            "output_extradata": encode_bytes(self.output_extradata),
            "output_width": self.output_width,
            "output_height": self.output_height,
            "credit": self.credit.to_json(),
            "server": self.server,
            "pod": self.pod,
            "limits": self.limits,
        }

    @classmethod
    def from_json(cls, fields: JsonFields, tensors: Tensors) -> Opened:
        """Read the body of the message; raises INVALID_MESSAGE."""
        return cls(
            session_id=fields.text("session_id"),
            network=fields.text("network"),
            class_name=fields.text("class_name"),
            classes=fields.texts("classes"),
            decoder=fields.text("decoder"),
            encoder=fields.text("encoder"),
            encoder_reason=fields.text("encoder_reason", ""),
            output_codec=fields.text("output_codec"),
            output_extradata=fields.binary("output_extradata", 1 << 20),
            output_width=fields.integer("output_width", 1),
            output_height=fields.integer("output_height", 1),
            credit=Credit.from_json(fields.inner("credit")),
            server=fields.text("server", ""),
            pod=fields.text("pod", ""),
            limits=fields.counts("limits"),
        )


@dataclass(frozen=True, slots=True)
class Output(ServerMessage):
    """Finished frames as packets, drop records, and the credit that both freed."""

    kind: ClassVar[str] = "output"
    packets: tuple[Packet, ...]
    drops: tuple[Drop, ...]
    credit: Credit

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        return {
            "drops": [[drop.seq, drop.reason.value] for drop in self.drops],
            "credit": self.credit.to_json(),
        }

    def to_tensors(self) -> Tensors:
        """Return the response's tensors by name."""
        index, payload = pack_packets(self.packets)
        body = ServerMessage.to_tensors(self)
        return {**body, specs.PACKET_INDEX_OUT.name: index, specs.PACKET_OUT.name: payload}

    @classmethod
    def from_json(cls, fields: JsonFields, tensors: Tensors) -> Output:
        """Read the body of the message and its packets; raises INVALID_MESSAGE or INVALID_PACKET."""
        index = _required(tensors, specs.PACKET_INDEX_OUT).astype(np.int64, copy=False)
        payload = _required(tensors, specs.PACKET_OUT).tobytes()
        try:
            drops = tuple(Drop(int(seq), DropReason(reason)) for seq, reason in fields.wire["drops"])
        except (KeyError, OverflowError, TypeError, ValueError):
            raise fields.refuse("drops", "a list of [seq, reason]") from None
        return cls(
            packets=tuple(unpack_packets(index, payload)),
            drops=drops,
            credit=Credit.from_json(fields.inner("credit")),
        )


@dataclass(frozen=True, slots=True)
class Ended(ServerMessage):
    """The session is complete: frames in = frames out + the sum of frames dropped.

    `digest` is the SHA-256, in hexadecimal, of all output payloads in order; `stages` holds the
    mean time of a frame in each stage, in milliseconds.
    """

    kind: ClassVar[str] = "ended"
    frames_in: int
    frames_out: int
    frames_dropped: dict[str, int]
    digest: str
    stages: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        return {
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "frames_dropped": self.frames_dropped,
            "digest": self.digest,
            "stages": self.stages,
        }

    @classmethod
    def from_json(cls, fields: JsonFields, tensors: Tensors) -> Ended:
        """Read the body of the message; raises INVALID_MESSAGE."""
        return cls(
            frames_in=fields.integer("frames_in", 0),
            frames_out=fields.integer("frames_out", 0),
            frames_dropped=fields.counts("frames_dropped"),
            digest=fields.text("digest"),
            stages=fields.numbers("stages"),
        )


@dataclass(frozen=True, slots=True)
class Failed(ServerMessage):
    """The session, or the request that names none, has failed; nothing follows."""

    kind: ClassVar[str] = "failed"
    error: SegtritonError

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        return self.error.to_json()

    @classmethod
    def from_json(cls, fields: JsonFields, tensors: Tensors) -> Failed:
        """Read the body of the message."""
        return cls(SegtritonError.from_json(fields.wire))


@dataclass(frozen=True, slots=True)
class Migrate(ServerMessage):
    """The server drains: go on elsewhere within the given time; packets still come meanwhile."""

    kind: ClassVar[str] = "migrate"
    within_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        return {"within_seconds": self.within_seconds}

    @classmethod
    def from_json(cls, fields: JsonFields, tensors: Tensors) -> Migrate:
        """Read the body of the message; raises INVALID_MESSAGE."""
        return cls(fields.number("within_seconds", 0.0, 1e9))


_RESPONSES: dict[str, Callable[[JsonFields, Tensors], ServerMessage]] = {
    kind.kind: kind.from_json for kind in (Opened, Output, Ended, Failed, Migrate)
}


def parse_response(tensors: Tensors) -> ServerMessage:
    """Return the message of a response; raises INVALID_MESSAGE or INVALID_PACKET."""
    fields = JsonFields.parse(_required(tensors, specs.MESSAGE_OUT), "response")
    return _RESPONSES[fields.choice("kind", _RESPONSES)](fields, tensors)


def _required(tensors: Tensors, spec: specs.TensorSpec) -> Any:
    tensor = tensors.get(spec.name)
    if tensor is None:
        raise SegtritonError(ErrorCode.INVALID_MESSAGE, f"The tensor {spec.name} is missing.")
    spec.check(tensor)
    return tensor
