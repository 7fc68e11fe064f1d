"""Messages between the router and a worker, over a socket pair.

Nothing is unpickled: a worker handles untrusted media, so the router must be able to read
what a broken worker writes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from segtriton_protocol import ErrorCode, Packet, SegtritonError
from segtriton_protocol.json_fields import MAX_JSON_BYTES
from segtriton_protocol.packets import pack_packets, unpack_packets

_LENGTHS = struct.Struct("!II")
_INDEX_COLUMNS = 6
# A message is in memory as a whole, and several times as long as it is read.
_MAX_BYTES = 1 << 30
_MAX_HEAD_BYTES = 2 * MAX_JSON_BYTES


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """A kind, the session concerned ("" for none), a JSON body and packets."""

    kind: str
    session_id: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    packets: Sequence[Packet] = ()


class Channel:
    """One end of the pair. `send` and `receive` each belong to one thread."""

    def __init__(self, connection: Connection, max_bytes: int = _MAX_BYTES) -> None:
        """Take one end; a longer message than `max_bytes` is not read."""
        self._connection = connection
        self._max_bytes = max_bytes

    def send(self, message: ChannelMessage) -> None:
        """Send one message; raises OSError when the other end is gone."""
        head = json.dumps([message.kind, message.session_id, message.body], separators=(",", ":")).encode()
        index, payload = pack_packets(message.packets)
        lengths = _LENGTHS.pack(len(head), index.nbytes)
        self._connection.send_bytes(b"".join((lengths, head, index.tobytes(), payload.tobytes())))

    def receive(self) -> ChannelMessage:
        """Wait for one message.

        Raises:
            EOFError, OSError: the other end is gone.
            SegtritonError: INVALID_MESSAGE or INVALID_PACKET; the message cannot be read, or is too long.
        """
        try:
            content = self._connection.recv_bytes(self._max_bytes)
        except OSError:
            if self._connection.readable:
                raise
            reason = f"A message has more than {self._max_bytes} bytes."
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, reason) from None
        try:
            return _unpack(content)
        except (ValueError, TypeError, RecursionError, struct.error) as error:
            reason = f"A message of {len(content)} bytes cannot be read: {error!r:.200}."
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, reason) from None

    def fileno(self) -> int:
        """The descriptor of this end."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this end."""
        self._connection.close()


def _unpack(content: bytes) -> ChannelMessage:
    head_length, index_length = _LENGTHS.unpack_from(content)
    if head_length > _MAX_HEAD_BYTES:
        raise ValueError(f"its head has {head_length} bytes")
    head_end = _LENGTHS.size + head_length
    kind, session_id, body = json.loads(content[_LENGTHS.size : head_end])
    if not isinstance(kind, str) or not isinstance(session_id, str) or not isinstance(body, dict):
        raise TypeError("its head is not a kind, a session and an object")
    index_end = head_end + index_length
    index = np.frombuffer(content[head_end:index_end], np.int64).reshape(-1, _INDEX_COLUMNS)
    return ChannelMessage(kind, session_id, body, unpack_packets(index, content[index_end:]))
