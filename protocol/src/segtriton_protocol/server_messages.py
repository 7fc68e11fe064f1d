"""The messages of protocol v1 that a server sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from segtriton_protocol import tensors as specs
from segtriton_protocol.answer_ids import AnswerId
from segtriton_protocol.errors import SegtritonError
from segtriton_protocol.json_fields import JsonFields, encode_bytes, encode_json
from segtriton_protocol.output_spec import PLAIN_PIXEL_FORMAT
from segtriton_protocol.packets import Drop, DropReason, Packet, PacketBlock, unpack_packets
from segtriton_protocol.tensors import Tensors, required_tensor


@dataclass(frozen=True, slots=True)
class Credit:
    """How much the client may have sent since OPEN, in all: a packet count and a byte count.

    `group_packets` is how many packets a live client should put into a message, so that the messages of all of them
    are not too many for the server.
    """

    packets: int
    payload_bytes: int
    group_packets: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"packets": self.packets, "bytes": self.payload_bytes, "group": self.group_packets}

    @classmethod
    def from_json(cls, fields: JsonFields) -> Credit:
        """Read the wire form; raises INVALID_MESSAGE."""
        return cls(
            packets=fields.integer("packets", 0),
            payload_bytes=fields.integer("bytes", 0),
            group_packets=fields.integer("group", 1, default=1),
        )


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """What every answer of a session has; `answer_id` only where the client acknowledges."""

    kind: ClassVar[str]
    answer_id: AnswerId | None = field(default=None, kw_only=True)

    def to_tensors(self, answer_id: AnswerId | None = None) -> Tensors:
        """Return the response's tensors by name, with the id given, or else the message's own."""
        body = {"kind": self.kind, **self.to_json()}
        if (answer_id := answer_id or self.answer_id) is not None:
            body["answer_id"] = answer_id
        return {specs.MESSAGE_OUT.name: encode_json(body)}

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Opened(ServerMessage):
    """The session exists: its id, what was chosen for it and why, and the first credit.

    `warnings` holds what a user must know about the network's masks, each one sentence. `output_pixel_format` is
    FFmpeg's name of what the output's decoder gives; servers that say nothing of it make 8-bit 4:2:0.
    `effects` are those whose parts each packet has, in their order; one or none where packets are no parts.
    `unacknowledged_bytes` is how much of the output the server sends before it waits for an acknowledgement; 0 where it
    knows none.
    """

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
    warnings: tuple[str, ...] = ()
    output_pixel_format: str = PLAIN_PIXEL_FORMAT
    unacknowledged_bytes: int = 0
    effects: tuple[str, ...] = ()

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
            "warnings": list(self.warnings),
            "output_pixel_format": self.output_pixel_format,
            "unacknowledged_bytes": self.unacknowledged_bytes,
            "effects": list(self.effects),
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
            warnings=fields.texts("warnings"),
            output_pixel_format=fields.text("output_pixel_format", PLAIN_PIXEL_FORMAT),
            unacknowledged_bytes=fields.integer("unacknowledged_bytes", 0, default=0),
            effects=fields.texts("effects"),
        )


@dataclass(frozen=True, slots=True)
class Output(ServerMessage):
    """Finished frames as packets, drop records, and the credit that both freed."""

    kind: ClassVar[str] = "output"
    packets: tuple[Packet, ...]
    drops: tuple[Drop, ...]
    credit: Credit

    def to_tensors(self, answer_id: AnswerId | None = None) -> Tensors:
        """Return the response's tensors by name."""
        packed = PackedOutput(PacketBlock.pack(self.packets), self.drops, self.credit)
        return packed.to_tensors(answer_id or self.answer_id)

    @classmethod
    def from_json(cls, fields: JsonFields, tensors: Tensors) -> Output:
        """Read the body of the message and its packets; raises INVALID_MESSAGE or INVALID_PACKET."""
        index = required_tensor(tensors, specs.PACKET_INDEX_OUT).astype(np.int64, copy=False)
        payload = required_tensor(tensors, specs.PACKET_OUT).tobytes()
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
class PackedOutput(ServerMessage):
    """`Output` as a server sends it that passes the packets on."""

    kind: ClassVar[str] = Output.kind
    block: PacketBlock
    drops: Sequence[Drop]
    credit: Credit

    def to_tensors(self, answer_id: AnswerId | None = None) -> Tensors:
        """Return the response's tensors by name."""
        index, payload = self.block.to_arrays()
        return {
            specs.MESSAGE_OUT.name: np.frombuffer(self._body(answer_id).encode(), np.uint8),
            specs.PACKET_INDEX_OUT.name: index,
            specs.PACKET_OUT.name: payload,
        }

    def _body(self, answer_id: AnswerId | None) -> str:
        """The JSON object, formatted: `json.dumps` of its dictionaries takes several times as long."""
        drops = ",".join([f'[{drop.seq},"{drop.reason.value}"]' for drop in self.drops])
        credit = self.credit
        numbered = f',"answer_id":[{answer_id.number},{answer_id.nonce}]' if answer_id is not None else ""
        return (
            f'{{"kind":"{self.kind}","drops":[{drops}],"credit":{{"packets":{credit.packets},'
            f'"bytes":{credit.payload_bytes},"group":{credit.group_packets}}}{numbered}}}'
        )


@dataclass(frozen=True, slots=True)
class Ended(ServerMessage):
    """The session is complete: frames in = frames out + the sum of frames dropped.

    `digest` is the SHA-256, in hexadecimal, of all output payloads in order; `stages` holds the
    mean time of a frame in each stage, in milliseconds; `notes` says what was changed about the
    pictures, each one sentence. `frames_without_class` counts the frames in whose mask no pixel has a
    probability of one half or more; None where the server does not count them.
    """

    kind: ClassVar[str] = "ended"
    frames_in: int
    frames_out: int
    frames_dropped: dict[str, int]
    digest: str
    stages: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    frames_without_class: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        return {
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "frames_dropped": self.frames_dropped,
            "digest": self.digest,
            "stages": self.stages,
            "notes": list(self.notes),
            "frames_without_class": self.frames_without_class,
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
            notes=fields.texts("notes"),
            frames_without_class=read_frames_without_class(fields),
        )


def read_frames_without_class(fields: JsonFields) -> int | None:
    """Return the field of that name, None where it is null or absent; raises INVALID_MESSAGE."""
    return None if fields.wire.get("frames_without_class") is None else fields.integer("frames_without_class", 0)


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
class Described(ServerMessage):
    """What a model's network is.

    Attributes:
        network: its name.
        classes: what it finds.
        default_class: what it finds for a session that names none.
        licence: of its weights.
        networks: names of all networks whose models lie beside this one, whether they are loaded or not.
    """

    kind: ClassVar[str] = "described"
    network: str
    classes: tuple[str, ...] = ()
    default_class: str = ""
    licence: str = ""
    networks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the body of the message."""
        return {
            "network": self.network,
            "classes": list(self.classes),
            "default_class": self.default_class,
            "licence": self.licence,
            "networks": list(self.networks),
        }

    @classmethod
    def from_json(cls, fields: JsonFields, tensors: Tensors) -> Described:
        """Read the body of the message; raises INVALID_MESSAGE."""
        return cls(
            network=fields.text("network"),
            classes=fields.texts("classes"),
            default_class=fields.text("default_class", max_length=1 << 16),
            licence=fields.text("licence"),
            networks=fields.texts("networks"),
        )


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
