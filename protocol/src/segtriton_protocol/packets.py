"""Compressed packets and drop records, and how many of them ride in one message.

A message carries an index tensor, INT64 [n, 6] with the columns
(seq, size, pts, dts, duration, flags), beside one payload tensor, UINT8 [sum of sizes].
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from segtriton_protocol.errors import ErrorCode, SegtritonError

NO_TIMESTAMP = -(2**63)
"""The index column's value for an absent pts or dts (FFmpeg's AV_NOPTS_VALUE)."""

MAX_PACKETS = 1024
"""The most packets of one message: each costs its receiver an object, however small it is."""

MAX_SEQ = 2**62 - 1
"""The greatest packet number: of any number that is taken, the next one still fits the index."""

MAX_TIME = 2**62
"""The greatest pts, dts (either sign) and duration, so that a sum of two fits the index."""

KEYFRAME = 1
"""The bit of the index column `flags` that marks a keyframe."""

_DISCARD = 2
_DAMAGED = 4
FLAGS = KEYFRAME | _DISCARD | _DAMAGED
"""All bits that the index column `flags` may have."""

_INDEX_COLUMNS = 6
_ROW = struct.Struct("=6q")

Row = tuple[int, int, int, int, int, int]
"""(seq, size, pts, dts, duration, flags) of one packet."""


class DropReason(Enum):
    """Why an input packet ended as a drop record and not as an output frame."""

    DAMAGED = "damaged"
    """The decoder refused the packet, or gave its picture after one that is shown later."""
    NO_FRAME = "no_frame"
    """The decoder took the packet and gave no picture for it."""
    MISSING = "missing"
    """The packet's number was skipped by the sender."""
    HIDDEN = "hidden"
    """The packet gives no picture to show, and nothing is lost: the container marks it so, or it holds a second field,
    a frame that is only referred to, no frame at all, or one that refers to what was before the stream's beginning."""
    ABANDONED = "abandoned"
    """The session ended before the frame was done."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One compressed packet.

    `pts`, `dts` and `duration` are integers in the session's time base; `duration` is 0 where
    the container has none. `seq` counts a session's input packets from the number in OPEN; an
    output packet carries the `seq` of the input packet whose frame it shows, and `is_damaged` if
    the decoder had to mend that frame.
    """

    seq: int
    pts: int | None
    dts: int | None
    duration: int
    is_keyframe: bool
    payload: bytes
    is_hidden: bool = False
    is_damaged: bool = False

    def __repr__(self) -> str:
        key = " key" if self.is_keyframe else ""
        return f"<Packet {self.seq} pts={self.pts} dts={self.dts} {len(self.payload)} bytes{key}>"


@dataclass(frozen=True, slots=True)
class Drop:
    """The end of an input packet that gave no output frame."""

    seq: int
    reason: DropReason


@dataclass(slots=True)
class PacketBlock:
    """The packets of one message as they travel: checked, and not taken apart. Nobody changes one.

    Attributes:
        rows: the index, a row for each packet.
        index: the same as bytes, INT64 [n, 6].
        payload: the packets' bytes, one after the other.
    """

    rows: Sequence[Row]
    index: bytes
    payload: bytes | memoryview

    @classmethod
    def read(cls, index: bytes, payload: bytes | memoryview) -> "PacketBlock":
        """Check an index, INT64 [n, 6] in bytes, and its payload.

        Raises:
            SegtritonError: INVALID_PACKET when there are more than `MAX_PACKETS`, the sizes do not add up to the
                payload, a number or a time is out of bounds, or a packet is empty (it would end the decoder).
        """
        if len(index) > MAX_PACKETS * _ROW.size or len(index) % _ROW.size:
            raise SegtritonError(
                ErrorCode.INVALID_PACKET,
                f"A message has at most {MAX_PACKETS} packets, not {len(index) / _ROW.size:g}.",
            )
        rows: list[Row] = list(_ROW.iter_unpack(index))
        num_bytes = 0
        for seq, size, pts, dts, duration, _ in rows:
            if size <= 0:
                raise SegtritonError(
                    ErrorCode.INVALID_PACKET, f"Packet {seq} has the size {size}; it must be positive.", seq=seq
                )
            # One comparison each for the sound packet; what exactly is wrong with another is told below.
            if not (
                0 <= seq <= MAX_SEQ
                and 0 <= duration <= MAX_TIME
                and -MAX_TIME <= pts <= MAX_TIME
                and -MAX_TIME <= dts <= MAX_TIME
            ):
                check_packet_numbers(seq, duration, *(time for time in (pts, dts) if time != NO_TIMESTAMP))
            num_bytes += size
        if num_bytes != len(payload):
            raise SegtritonError(
                ErrorCode.INVALID_PACKET,
                f"The index counts {num_bytes} bytes but the payload has {len(payload)}.",
            )
        return cls(rows, index, payload)

    @classmethod
    def pack(cls, packets: Sequence[Packet]) -> "PacketBlock":
        """Return the block of `packets`."""
        rows = [_row(packet) for packet in packets]
        index = b"".join([_ROW.pack(*row) for row in rows])
        return cls(rows, index, b"".join([packet.payload for packet in packets]))

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, positions: Sequence[int]) -> "PacketBlock":
        """Return the block of the packets at the positions given, which rise."""
        packets = self.unpack()
        return PacketBlock.pack([packets[position] for position in positions])

    def unpack(self) -> list[Packet]:
        """Return the packets one by one."""
        payload = bytes(self.payload)
        packets = []
        offset = 0
        for seq, size, pts, dts, duration, flags in self.rows:
            packets.append(
                Packet(
                    seq=seq,
                    pts=None if pts == NO_TIMESTAMP else pts,
                    dts=None if dts == NO_TIMESTAMP else dts,
                    duration=duration,
                    is_keyframe=bool(flags & KEYFRAME),
                    is_hidden=bool(flags & _DISCARD),
                    is_damaged=bool(flags & _DAMAGED),
                    payload=payload[offset : offset + size],
                )
            )
            offset += size
        return packets

    def to_arrays(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the index tensor [n, 6] and the payload tensor [bytes]."""
        return (
            np.frombuffer(self.index, np.int64).reshape(-1, _INDEX_COLUMNS),
            np.frombuffer(self.payload, np.uint8),
        )


def pack_packets(packets: Sequence[Packet]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the index tensor [n, 6] and the payload tensor [bytes] of `packets`."""
    return PacketBlock.pack(packets).to_arrays()


def unpack_packets(index: NDArray[np.int64], payload: bytes) -> list[Packet]:
    """Return the packets of one message; raises INVALID_PACKET as `PacketBlock.read`."""
    return PacketBlock.read(index.tobytes(), payload).unpack()


def _row(packet: Packet) -> Row:
    return (
        packet.seq,
        len(packet.payload),
        NO_TIMESTAMP if packet.pts is None else packet.pts,
        NO_TIMESTAMP if packet.dts is None else packet.dts,
        packet.duration,
        KEYFRAME * packet.is_keyframe | _DISCARD * packet.is_hidden | _DAMAGED * packet.is_damaged,
    )


def check_packet_numbers(seq: int, duration: int, *timestamps: int) -> None:
    """Raise INVALID_PACKET unless a packet's number and times are within `MAX_SEQ` and `MAX_TIME`."""
    if not 0 <= seq <= MAX_SEQ:
        raise SegtritonError(ErrorCode.INVALID_PACKET, f"Packet numbers go from 0 to {MAX_SEQ}, not to {seq}.")
    if not 0 <= duration <= MAX_TIME or not all(abs(time) <= MAX_TIME for time in timestamps):
        raise SegtritonError(
            ErrorCode.INVALID_PACKET,
            f"Packet {seq} has the times {[*timestamps]} and the duration {duration}: "
            f"no time is beyond {MAX_TIME}, and no duration negative.",
            seq=seq,
        )
