"""The messages of protocol v1 that a client sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from segtriton_protocol import tensors as specs
from segtriton_protocol.answer_ids import AnswerId
from segtriton_protocol.background import Background
from segtriton_protocol.errors import ErrorCode, SegtritonError
from segtriton_protocol.formats import VideoFormat
from segtriton_protocol.json_fields import JsonFields, encode_json
from segtriton_protocol.output_spec import IMAGE_EFFECT, OutputSpec
from segtriton_protocol.packets import MAX_SEQ, Packet, PacketBlock, pack_packets
from segtriton_protocol.tensors import (
    PARAMETER_MESSAGE,
    PARAMETER_PROTOCOL,
    PARAMETER_SESSION,
    Tensors,
    required_tensor,
)
from segtriton_protocol.version import PROTOCOL_VERSION

MODES = ("file", "live")


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
    later ones need them, and not sent again; nor are those of `answered_seqs`, later packets whose
    pictures are shown earlier. `open_key` is unique for each session a client asks for, so that a
    doubled OPEN is seen. A client that `acknowledges` tells which answers it has read, puts them in order by their
    number, and takes them over whichever of its requests: only so can a session last without an end. A `background`
    is there for the effect `image`, and for no other.
    """

    kind: ClassVar[str] = "open"
    session_id: str = field(default="", init=False)
    video: VideoFormat
    output: OutputSpec = field(default_factory=OutputSpec)
    network: str = ""
    mode: str = "file"
    first_seq: int = 0
    wanted_seq: int = 0
    answered_seqs: tuple[int, ...] = ()
    open_key: str = ""
    acknowledges: bool = False
    background: Background | None = None

    def to_tensors(self) -> Tensors:
        """Return the request's tensors by name."""
        wire = {
            "video": self.video.to_json(),
            "output": self.output.to_json(),
            "network": self.network,
            "mode": self.mode,
            "first_seq": self.first_seq,
            "wanted_seq": self.wanted_seq,
            "answered_seqs": list(self.answered_seqs),
            "open_key": self.open_key,
            "acknowledges": self.acknowledges,
        }
        if self.background is None:
            return {specs.MESSAGE.name: encode_json(wire)}
        index, payload = self.background.block.to_arrays()
        return {
            specs.MESSAGE.name: encode_json({**wire, "background": self.background.video.to_json()}),
            specs.PACKET_INDEX.name: index,
            specs.PACKET_IN.name: payload,
        }

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Open:
        """Read the request.

        Raises:
            SegtritonError: DUPLICATE_OPEN, INVALID_MESSAGE or UNKNOWN_ENCODER; of a background also INVALID_PACKET and
                LIMIT_EXCEEDED.
        """
        if session_id:
            raise SegtritonError(ErrorCode.DUPLICATE_OPEN, "OPEN must not name a session.", session_id=session_id)
        fields = JsonFields.parse(required_tensor(tensors, specs.MESSAGE), "OPEN")
        mode = fields.choice("mode", MODES, "file")
        video = VideoFormat.from_json(fields.inner("video"))
        output = OutputSpec.from_json(fields.inner("output"))
        return cls(
            video=video,
            output=output,
            network=fields.text("network", ""),
            mode=mode,
            first_seq=fields.integer("first_seq", 0, MAX_SEQ, default=0),
            wanted_seq=fields.integer("wanted_seq", 0, MAX_SEQ, default=0),
            answered_seqs=fields.integers("answered_seqs", 0, MAX_SEQ),
            open_key=fields.text("open_key", "", max_length=64),
            acknowledges=fields.boolean("acknowledges", default=False),
            background=_read_background(fields, tensors, video) if IMAGE_EFFECT in output.effects else None,
        )


@dataclass(frozen=True, slots=True)
class Packets(ClientMessage):
    """One or many input packets.

    `received` counts the output packets and drop records that the client has read so far, and `acknowledged` names the
    newest answer of those that it has read without a gap, in a session that acknowledges.
    """

    kind: ClassVar[str] = "packets"
    packets: tuple[Packet, ...]
    received: int = 0
    acknowledged: AnswerId | None = None

    def to_tensors(self) -> Tensors:
        """Return the request's tensors by name."""
        index, payload = pack_packets(self.packets)
        return {
            specs.PACKET_INDEX.name: index,
            specs.PACKET_IN.name: payload,
            specs.MESSAGE.name: encode_json({"received": self.received, "acknowledged": self.acknowledged}),
        }

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Packets:
        """Read the request; raises INVALID_MESSAGE or INVALID_PACKET."""
        packed = PackedPackets.from_tensors(session_id, tensors)
        return cls(session_id, tuple(packed.block.unpack()), packed.received, packed.acknowledged)


@dataclass(frozen=True, slots=True)
class PackedPackets(ClientMessage):
    """`Packets` as a server takes them that passes them on."""

    kind: ClassVar[str] = Packets.kind
    block: PacketBlock
    received: int = 0
    acknowledged: AnswerId | None = None

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> PackedPackets:
        """Read the request; raises INVALID_MESSAGE or INVALID_PACKET."""
        fields = JsonFields.parse(required_tensor(tensors, specs.MESSAGE), "PACKETS")
        index = required_tensor(tensors, specs.PACKET_INDEX).tobytes()
        payload = required_tensor(tensors, specs.PACKET_IN).tobytes()
        return cls(
            session_id,
            PacketBlock.read(index, payload),
            fields.integer("received", 0, default=0),
            AnswerId.from_json(fields, "acknowledged"),
        )


@dataclass(frozen=True, slots=True)
class Acknowledge(ClientMessage):
    """Says what has been read where no packet is at hand to go with it, and lends a request to the next answers."""

    kind: ClassVar[str] = "acknowledge"
    acknowledged: AnswerId

    def to_tensors(self) -> Tensors:
        """Return the request's tensors by name."""
        return {specs.MESSAGE.name: encode_json({"acknowledged": self.acknowledged})}

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Acknowledge:
        """Read the request; raises INVALID_MESSAGE."""
        fields = JsonFields.parse(required_tensor(tensors, specs.MESSAGE), "ACKNOWLEDGE")
        acknowledged = AnswerId.from_json(fields, "acknowledged")
        if acknowledged is None:
            raise fields.refuse("acknowledged", "a pair of an answer's number and nonce")
        return cls(session_id=session_id, acknowledged=acknowledged)


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
        fields = JsonFields.parse(required_tensor(tensors, specs.MESSAGE), "END")
        return cls(session_id=session_id, next_seq=fields.integer("next_seq", 0, MAX_SEQ + 1))


@dataclass(frozen=True, slots=True)
class Cancel(ClientMessage):
    """Ends the session at once and frees what it holds."""

    kind: ClassVar[str] = "cancel"

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Cancel:
        """Read the request."""
        return cls(session_id=session_id)


@dataclass(frozen=True, slots=True)
class Describe(ClientMessage):
    """Asks a model what its network is, and which others may be there; it opens no session."""

    kind: ClassVar[str] = "describe"
    session_id: str = field(default="", init=False)

    @classmethod
    def from_tensors(cls, session_id: str, tensors: Tensors) -> Describe:
        """Read the request."""
        return cls()


def _read_background(fields: JsonFields, tensors: Tensors, behind: VideoFormat) -> Background:
    index = required_tensor(tensors, specs.PACKET_INDEX).tobytes()
    payload = required_tensor(tensors, specs.PACKET_IN).tobytes()
    return Background.read(fields.inner("background"), index, payload, behind)
