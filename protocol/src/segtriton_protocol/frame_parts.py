"""Several outputs of one frame in the payload of one packet, so that a frame ends once for all of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from segtriton_protocol.errors import ErrorCode, SegtritonError

# The size of a part, and whether it is a keyframe; heads come first, one for each part.
_HEAD = struct.Struct("<IB")


class FramePart(NamedTuple):
    """What one of the outputs shows of a frame, coded."""

    payload: bytes
    is_keyframe: bool


def join_parts(parts: Sequence[FramePart]) -> bytes:
    """Return the payload of a packet that holds these parts."""
    heads = [_HEAD.pack(len(part.payload), part.is_keyframe) for part in parts]
    return b"".join((*heads, *(part.payload for part in parts)))


def split_parts(payload: bytes, count: int) -> list[FramePart]:
    """Return the parts of a payload; raises INVALID_PACKET unless they are so many."""
    heads_end = count * _HEAD.size
    heads = list(_HEAD.iter_unpack(payload[:heads_end])) if len(payload) >= heads_end else []
    if heads_end + sum(size for size, _ in heads) != len(payload) or len(heads) != count:
        raise SegtritonError(ErrorCode.INVALID_PACKET, f"A packet of {len(payload)} bytes has no {count} parts.")
    parts, start = [], heads_end
    for size, is_keyframe in heads:
        parts.append(FramePart(payload[start : start + size], bool(is_keyframe)))
        start += size
    return parts
