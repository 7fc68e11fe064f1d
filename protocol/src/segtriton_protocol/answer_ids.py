"""What a client acknowledges: a session's answers, which its server numbers and marks."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from segtriton_protocol.json_fields import JsonFields
from segtriton_protocol.packets import MAX_SEQ

_NONCE_BITS = 32


class AnswerId(NamedTuple):
    """An answer's place among those of its session, and a mark that only who has read the answer can know.

    `number` counts from 0. `nonce` is random, 0 to 2^32 - 1.
    """

    number: int
    nonce: int

    @classmethod
    def new(cls, number: int) -> AnswerId:
        """Return the id of a session's next answer."""
        return cls(number, secrets.randbits(_NONCE_BITS))

    @classmethod
    def from_json(cls, fields: JsonFields, key: str) -> AnswerId | None:
        """Read the wire form, None where the field is absent; raises INVALID_MESSAGE."""
        if fields.wire.get(key) is None:
            return None
        pair = fields.integers(key, 0, MAX_SEQ)
        if len(pair) != 2 or pair[1] >= 1 << _NONCE_BITS:
            raise fields.refuse(key, "a pair of an answer's number and nonce")
        return cls(*pair)
