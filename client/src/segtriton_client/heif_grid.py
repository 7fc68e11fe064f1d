"""How the tiles of a HEIF photograph (ISO/IEC 23008-12) lie: FFmpeg decodes them, and PyAV does not tell."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_OF_IDAT = 1  # a construction method of iloc
_LARGE_FIELDS = 1  # a flag of a grid
_WIDE_INDEX = 1  # a flag of ipma


@dataclass(frozen=True, slots=True)
class HeifGrid:
    """A picture of rows of equal tiles, from which (width, height) in pixels is cut, and then turned.

    Attributes:
        tiles: the tiles' item numbers, row by row.
        quarter_turns: how often it is turned by 90 degrees, counter-clockwise.
    """

    tiles: tuple[int, ...]
    columns: int
    size: tuple[int, int]
    quarter_turns: int

    def join(self, tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the picture, UINT8 [height, width, 3], of its tiles."""
        starts = range(0, len(tiles), self.columns)
        rows = [np.concatenate(tiles[start : start + self.columns], axis=1) for start in starts]
        width, height = self.size
        whole = np.concatenate(rows, axis=0)[:height, :width]
        return np.ascontiguousarray(np.rot90(whole, self.quarter_turns))


def read_grid(content: bytes) -> HeifGrid | None:
    """Return how the tiles of a file's first picture lie; None where it has none, or what is not understood."""
    try:
        meta = _boxes_of(dict(_boxes(content))[b"meta"][4:])
        item = struct.unpack_from(">H", meta[b"pitm"], 4)[0]
        place = _find_item(meta[b"iloc"], item)
        payload = _cut(meta[b"idat"] if place.method == _OF_IDAT else content, place)
        properties = _properties_of(meta[b"iprp"], item)
        if b"imir" in properties:
            return None
        return _parse_grid(payload, _tiles_of(meta[b"iref"], item), properties.get(b"irot", b"\0")[0] & 3)
    except (KeyError, IndexError, ValueError, struct.error):
        return None


@dataclass(frozen=True, slots=True)
class _Place:
    method: int
    offset: int
    length: int


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        header = 8
        if length == 1:
            (length,), header = struct.unpack_from(">Q", content, position + 8), 16
        end = position + length if length else len(content)
        if end < position + header:
            raise ValueError("a box is shorter than its header")
        yield kind, content[position + header : end]
        position = end


def _boxes_of(content: bytes) -> dict[bytes, bytes]:
    return dict(_boxes(content))


def _find_item(iloc: bytes, wanted: int) -> _Place:
    """Return where an item lies; raises KeyError, also for one of several parts."""
    version, sizes = iloc[0], struct.unpack_from(">H", iloc, 4)[0]
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    number_size = 2 if version < 2 else 4
    reader = _Reader(iloc, 6)
    for _ in range(reader.take(number_size)):
        item = reader.take(number_size)
        method = reader.take(2) & 15 if version else 0
        reader.take(2)
        base, count = reader.take(base_size), reader.take(2)
        parts = []
        for _ in range(count):
            reader.take(index_size if version else 0)
            parts.append((reader.take(offset_size), reader.take(length_size)))
        if item == wanted and len(parts) == 1:
            return _Place(method, base + parts[0][0], parts[0][1])
    raise KeyError(wanted)


def _cut(content: bytes, place: _Place) -> bytes:
    return content[place.offset : place.offset + place.length]


def _tiles_of(iref: bytes, item: int) -> tuple[int, ...]:
    number = "I" if iref[0] else "H"
    size = struct.calcsize(number)
    for kind, references in _boxes(iref[4:]):
        source, count = struct.unpack_from(f">{number}H", references)
        if kind == b"dimg" and source == item:
            return struct.unpack_from(f">{count}{number}", references, size + 2)
    raise KeyError(item)


def _properties_of(iprp: bytes, wanted: int) -> dict[bytes, bytes]:
    parts = _boxes_of(iprp)
    known = list(_boxes(parts[b"ipco"]))
    ipma = parts[b"ipma"]
    reader = _Reader(ipma, 4)
    for _ in range(reader.take(4)):
        item = reader.take(4 if ipma[0] else 2)
        is_wide = ipma[3] & _WIDE_INDEX
        indices = [reader.take(2) & 0x7FFF if is_wide else reader.take(1) & 0x7F for _ in range(reader.take(1))]
        if item == wanted:
            return dict(known[index - 1] for index in indices if index)
    return {}


def _parse_grid(payload: bytes, tiles: tuple[int, ...], quarter_turns: int) -> HeifGrid:
    _, flags, rows, columns = struct.unpack_from(">4B", payload)
    width, height = struct.unpack_from(">2I" if flags & _LARGE_FIELDS else ">2H", payload, 4)
    if (rows + 1) * (columns + 1) != len(tiles):
        raise ValueError("a grid has another number of tiles")
    return HeifGrid(tiles, columns + 1, (width, height), quarter_turns)


class _Reader:
    """Integers of any number of bytes, one after the other."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._position = position

    def take(self, size: int) -> int:
        """Return the next integer of `size` bytes; raises IndexError at the end."""
        end = self._position + size
        if end > len(self._content):
            raise IndexError("the box ends early")
        value = int.from_bytes(self._content[self._position : end], "big")
        self._position = end
        return value
