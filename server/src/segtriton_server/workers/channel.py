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

from segtriton_protocol import Packet
from segtriton_protocol.packets import pack_packets, unpack_packets

_LENGTHS = struct.Struct("!II")
_INDEX_COLUMNS = 6
_MAX_MESSAGE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """A kind, the session concerned ("" for none), a JSON body and packets."""

    kind: str
    session_id: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    packets: Sequence[Packet] = ()


class Channel:
    """One end of the pair. `send` and `receive` each belong to one thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, message: ChannelMessage) -> None:
        """Send one message; raises OSError when the other end is gone."""
        head = json.dumps([message.kind, message.session_id, message.body], separators=(",", ":")).encode()
        index, payload = pack_packets(message.packets)
        lengths = _LENGTHS.pack(len(head), index.nbytes)
        self._connection.send_bytes(b"".join((lengths, head, index.tobytes(), payload.tobytes())))

    def receive(self) -> ChannelMessage:
        """Wait for one message; raises EOFError or OSError when the other end is gone."""
        content = self._connection.recv_bytes(_MAX_MESSAGE_BYTES)
        head_length, index_length = _LENGTHS.unpack_from(content)
        head_end = _LENGTHS.size + head_length
        kind, session_id, body = json.loads(content[_LENGTHS.size : head_end])
        index_end = head_end + index_length
        index = np.frombuffer(content[head_end:index_end], np.int64).reshape(-1, _INDEX_COLUMNS)
        return ChannelMessage(kind, session_id, body, unpack_packets(index, content[index_end:]))

    def fileno(self) -> int:
        """The descriptor of this end."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this end."""
        self._connection.close()
