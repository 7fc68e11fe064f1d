"""What a client acknowledges: a session's answers, which its server numbers and marks."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from segtriton_protocol.json_fields import JsonFields, is_integer
from segtriton_protocol.packets import MAX_SEQ

_MAX_NONCE = 2**32 - 1
_NONCES = struct.Struct("=64I")


class AnswerId(NamedTuple):
    """An answer's place among those of its session, and a mark that only who has read the answer can know.

    `number` counts from 0. `nonce` is random, 0 to 2^32 - 1.
    """

    number: int
    nonce: int

    @classmethod
    def from_json(cls, fields: JsonFields, key: str) -> AnswerId | None:
        """Read the wire form, None where the field is absent; raises INVALID_MESSAGE."""
        pair = fields.wire.get(key)
        if pair is None:
            return None
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not is_integer(pair[0], 0, MAX_SEQ)
            or not is_integer(pair[1], 0, _MAX_NONCE)
        ):
            raise fields.refuse(key, "a pair of an answer's number and nonce")
        return cls(pair[0], pair[1])


class AnswerIds:
    """The ids of a session's answers, in order; one thread at a time takes them.

    Nonces come from the system's random source, many at once, as each call of the system costs as much as an answer's
    other numbers.
    """

    def __init__(self) -> None:
        self._next_number = 0
        self._nonces: list[int] = []

    def take(self) -> AnswerId:
        """Return the next answer's id."""
        if not self._nonces:
            self._nonces = list(_NONCES.unpack(os.urandom(_NONCES.size)))
        self._next_number += 1
        return AnswerId(self._next_number - 1, self._nonces.pop())
