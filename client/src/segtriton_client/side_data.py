"""What FFmpeg keeps beside a decoded picture's samples, as PyAV gives it without failing."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import av
from av.buffer import Buffer
from av.sidedata.sidedata import Type

# The names that their decoders give to colour profiles are freed twice by PyAV: looking at their side data crashes.
_UNREADABLE_CODECS = ("png", "apng")
_MATRIX = struct.Struct("=9i")
_ONE, _ONE_W = 1 << 16, 1 << 30
_SMALL_SIDE = 16


def _of_no_listed_type(kind: type[Type], value: object) -> Type:
    """Take a type that PyAV does not list, such as EXIF: it refuses all side data of such a picture otherwise."""
    member = object.__new__(kind)
    member._name_ = f"UNLISTED_{value}"
    member._value_ = value  # type: ignore[assignment]
    return kind._value2member_map_.setdefault(value, member)  # type: ignore[return-value]


if "_missing_" not in vars(Type):  # as PyAV does it from version 19 on
    Type._missing_ = classmethod(_of_no_listed_type)  # type: ignore[method-assign, assignment]


def side_data_of(frame: av.VideoFrame, codec: str) -> Mapping[Type, Buffer]:
    """Return a decoded picture's side data by type; `codec` is FFmpeg's name of its decoder."""
    if codec in _UNREADABLE_CODECS:
        return {}
    # Before PyAV 19 a frame whose side data is looked at refers to itself, and stays until garbage is collected.
    found: Any = frame.reformat(_SMALL_SIDE, _SMALL_SIDE, "rgb24").side_data
    # Its iteration gives the data before PyAV 19, and the types, as a mapping does, since then.
    types = [item if isinstance(item, Type) else item.type for item in found]
    return {kind: found[kind] for kind in types}


def display_matrix_of(frame: av.VideoFrame, codec: str) -> tuple[int, ...]:
    """Return how a player turns a picture, nine integers in FFmpeg's layout, by its container or EXIF; () as it is."""
    if codec in _UNREADABLE_CODECS:
        return _matrix_of(frame.rotation) if frame.rotation else ()
    matrix = side_data_of(frame, codec).get(Type.DISPLAYMATRIX)
    return () if matrix is None else _MATRIX.unpack(bytes(matrix))


def _matrix_of(degrees: int) -> tuple[int, ...]:
    """Return the matrix of a turn counter-clockwise."""
    cosine = round(_ONE * math.cos(math.radians(degrees)))
    sine = round(_ONE * math.sin(math.radians(-degrees)))
    return cosine, sine, 0, -sine, cosine, 0, 0, 0, _ONE_W
