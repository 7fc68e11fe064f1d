"""Messages between the router and a worker, over a socket pair.

Packets and results, of which there is one for each frame, are binary frames of a fixed head (`SessionPackets`,
`SessionResults`); all others are JSON (`ChannelMessage`). Nothing is unpickled: a worker handles untrusted media, so
the router must be able to read what a broken worker writes.

A frame is its length, UINT32, then its type, UINT8, and what the type says. Integers have the machine's byte order.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segtriton_protocol import Drop, DropReason, ErrorCode, SegtritonError
from segtriton_protocol.json_fields import MAX_JSON_BYTES
from segtriton_protocol.packets import FLAGS, MAX_PACKETS, PacketBlock
from segtriton_server.stage_totals import StageTotal

STAGES = ("decode", "preprocess", "network", "matte", "compose", "encode")
"""The stages whose times a worker reports; they are labels of a metric."""

DROP_REASONS = (DropReason.DAMAGED, DropReason.NO_FRAME, DropReason.HIDDEN)
"""The reasons for which a worker drops packets; a frame names them by their positions."""

_JSON, _PACKETS, _RESULTS = range(3)
_LENGTH = struct.Struct("=I")
_TYPE = struct.Struct("=B")
_SESSION = "32s"
# Type, session, packets; the index, INT64 [n, 6], and the payload follow.
_PACKETS_HEAD = struct.Struct(f"=B{_SESSION}I")
# Type, session, packets, drops, skipped, damaged; stages, index, drops, skipped and payload follow.
_RESULTS_HEAD = struct.Struct(f"=B{_SESSION}4I")
# The frames and the seconds of each stage; no frames where nothing is said of it.
_STAGES = struct.Struct("=" + "Id" * len(STAGES))
_NO_STAGE = 0.0, 0
_DROP = struct.Struct("=qB")
_SEQ = struct.Struct("=q")
_ROW_BYTES = 48

# Of flags of `socket`, each `|` costs as much as a small frame.
_SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

# A message is in memory as a whole.
_MAX_BYTES = 1 << 30
_MAX_JSON_BYTES = 2 * MAX_JSON_BYTES
_MAX_SECONDS = 86400.0
_MAX_STAGE_FRAMES = 1 << 20
# Frames up to this length are read several at once and copied.
_BUFFER_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """A kind, the session concerned ("" for none), and a JSON body."""

    kind: str
    session_id: str = ""
    body: dict[str, Any] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Return the frame."""
        content = json.dumps([self.kind, self.session_id, self.body], separators=(",", ":")).encode()
        return b"".join((_LENGTH.pack(_TYPE.size + len(content)), _TYPE.pack(_JSON), content))


@dataclass(slots=True)
class SessionPackets:
    """Packets of a session, on their way to its worker."""

    session_id: str
    block: PacketBlock

    def pack(self) -> bytes:
        """Return the frame."""
        index, payload = self.block.index, self.block.payload
        head = _PACKETS_HEAD.pack(_PACKETS, self.session_id.encode(), len(self.block))
        return b"".join((_LENGTH.pack(len(head) + len(index) + len(payload)), head, index, payload))


@dataclass(slots=True)
class SessionResults:
    """What a worker has finished of a session.

    Attributes:
        block: coded frames, as packets.
        drops: packets that give no frame.
        skipped: numbers of packets that were decoded for others only.
        damaged: how many packets the decoder has refused.
        stages: by stage, what its frames have taken since the last message.
    """

    session_id: str
    block: PacketBlock
    drops: Sequence[Drop] = ()
    skipped: Sequence[int] = ()
    damaged: int = 0
    stages: dict[str, StageTotal] = field(default_factory=dict)

    def pack(self) -> bytes:
        """Return the frame."""
        counts = (len(self.block), len(self.drops), len(self.skipped), self.damaged)
        stages: list[float] = []
        for stage in STAGES:
            seconds, frames = self.stages.get(stage, _NO_STAGE)
            stages += (frames, seconds)
        parts = [
            _RESULTS_HEAD.pack(_RESULTS, self.session_id.encode(), *counts),
            _STAGES.pack(*stages),
            self.block.index,
            *[_DROP.pack(drop.seq, DROP_REASONS.index(drop.reason)) for drop in self.drops],
            *[_SEQ.pack(seq) for seq in self.skipped],
            self.block.payload,
        ]
        return b"".join((_LENGTH.pack(sum(map(len, parts))), *parts))


AnyMessage = ChannelMessage | SessionPackets | SessionResults


class Channel:
    """One end of the pair. `send` and `receive` each belong to one thread."""

    def __init__(self, connection: socket.socket, max_bytes: int = _MAX_BYTES) -> None:
        """Take one end; a longer message than `max_bytes` is not read."""
        self._connection = connection
        # A confined worker has the system calls of files, and none of sockets.
        self._descriptor = connection.fileno()
        self._max_bytes = max_bytes
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._start = self._end = 0

    def send(self, *frames: bytes) -> None:
        """Send frames; raises OSError when the other end is gone."""
        rest = memoryview(frames[0] if len(frames) == 1 else b"".join(frames))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def try_send(self, frame: bytes) -> int:
        """Send as much of a frame as the other end takes at once; returns the number of bytes.

        Raises:
            OSError: the other end is gone.
        """
        try:
            return self._connection.send(frame, _SEND_FLAGS)
        except BlockingIOError:
            return 0

    def receive(self) -> AnyMessage:
        """Wait for one message.

        Raises:
            EOFError, OSError: the other end is gone.
            SegtritonError: INVALID_MESSAGE or INVALID_PACKET; the message cannot be read, or is too long.
        """
        content = self._receive_frame()
        try:
            return _UNPACK[content[0]](content)
        except (ValueError, TypeError, IndexError, RecursionError, struct.error) as error:
            reason = f"A message of {len(content)} bytes cannot be read: {error!r:.200}."
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, reason) from None

    def fileno(self) -> int:
        """The descriptor of this end."""
        return self._descriptor

    def shut_down(self) -> None:
        """End both directions, which wakes who waits in `receive`."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end."""
        self._connection.close()

    def _receive_frame(self) -> memoryview:
        if self._end - self._start < _LENGTH.size:
            self._fill(_LENGTH.size)
        (length,) = _LENGTH.unpack_from(self._buffer, self._start)
        if length > self._max_bytes:
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, f"A message has more than {self._max_bytes} bytes.")
        self._start += _LENGTH.size
        if length > _BUFFER_BYTES // 2:
            return self._receive_long(length)
        if self._end - self._start < length:
            self._fill(length)
        content = memoryview(bytes(self._buffer[self._start : self._start + length]))
        self._start += length
        return content

    def _fill(self, size: int) -> None:
        """Have so many bytes in the buffer, at most half of it."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start + size > _BUFFER_BYTES:
            rest = bytes(self._buffer[self._start : self._end])
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        while self._end - self._start < size:
            self._end += self._read_into(self._buffer[self._end :])

    def _receive_long(self, length: int) -> memoryview:
        """Read a long frame where it will stay."""
        content = memoryview(np.empty(length, np.uint8))  # type: ignore[arg-type]
        size = min(length, self._end - self._start)
        content[:size] = self._buffer[self._start : self._start + size]
        self._start += size
        while size < length:
            size += self._read_into(content[size:])
        return content

    def _read_into(self, buffer: memoryview) -> int:
        size = os.readv(self._descriptor, [buffer])
        if not size:
            raise EOFError
        return size


def _unpack_json(content: memoryview) -> ChannelMessage:
    if len(content) > _MAX_JSON_BYTES:
        raise ValueError("it is too long for JSON")
    kind, session_id, body = json.loads(bytes(content[_TYPE.size :]))
    if not isinstance(kind, str) or not isinstance(session_id, str) or not isinstance(body, dict):
        raise TypeError("it is not a kind, a session and an object")
    return ChannelMessage(kind, session_id, body)


def _unpack_packets(content: memoryview) -> SessionPackets:
    _, session_id, num_packets = _PACKETS_HEAD.unpack_from(content)
    index_end = _PACKETS_HEAD.size + num_packets * _ROW_BYTES
    block = PacketBlock.read(bytes(content[_PACKETS_HEAD.size : index_end]), content[index_end:])
    return SessionPackets(_session(session_id), block)


def _unpack_results(content: memoryview) -> SessionResults:
    _, session_id, num_packets, num_drops, num_skipped, damaged = _RESULTS_HEAD.unpack_from(content)
    if num_drops > MAX_PACKETS or num_skipped > MAX_PACKETS or damaged > MAX_PACKETS:
        raise ValueError("it counts more than a message has")
    stages_end = _RESULTS_HEAD.size + _STAGES.size
    index_end = stages_end + num_packets * _ROW_BYTES
    drops_end = index_end + num_drops * _DROP.size
    skipped_end = drops_end + num_skipped * _SEQ.size
    if skipped_end > len(content):
        raise ValueError("it is shorter than what it counts")
    block = PacketBlock.read(bytes(content[stages_end:index_end]), content[skipped_end:])
    for row in block.rows:
        if row[5] & ~FLAGS:
            raise ValueError("a packet has a flag that there is not")
    return SessionResults(
        _session(session_id),
        block,
        [_drop(seq, reason) for seq, reason in _DROP.iter_unpack(content[index_end:drops_end])] if num_drops else (),
        [_seq(seq) for (seq,) in _SEQ.iter_unpack(content[drops_end:skipped_end])] if num_skipped else (),
        damaged,
        _stages(_STAGES.unpack_from(content, _RESULTS_HEAD.size)),
    )


_UNPACK: tuple[Callable[[memoryview], AnyMessage], ...] = (_unpack_json, _unpack_packets, _unpack_results)
"""What reads a frame, by its type."""


def _session(session_id: bytes) -> str:
    return session_id.rstrip(b"\0").decode("ascii")


def _stages(numbers: tuple[Any, ...]) -> dict[str, StageTotal]:
    stages: dict[str, StageTotal] = {}
    for stage, frames, seconds in zip(STAGES, numbers[::2], numbers[1::2], strict=True):
        if not (frames <= _MAX_STAGE_FRAMES and 0.0 <= seconds <= _MAX_SECONDS * frames):
            raise ValueError(f"{stage} has taken {seconds} seconds for {frames} frames")
        if frames:
            stages[stage] = seconds, frames
    return stages


def _drop(seq: int, reason: int) -> Drop:
    return Drop(_seq(seq), DROP_REASONS[reason])


def _seq(seq: int) -> int:
    if seq < 0:
        raise ValueError(f"a packet's number is {seq}")
    return seq
