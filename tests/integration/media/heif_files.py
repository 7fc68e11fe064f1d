"""HEIC photographs in tiles, made by hand: FFmpeg has no muxer for them."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec.context import Flags

_PARAMETER_SETS = (32, 33, 34)  # HEVC's unit types


def make_heic(
    tiles: Sequence[np.ndarray], rows: int, columns: int, size: tuple[int, int], quarter_turns: int = 0
) -> bytes:
    """A picture of (width, height), of UINT8 [h, w, 3] tiles, which a reader turns counter-clockwise."""
    coded = [_encode(tile) for tile in tiles]
    units = [b"".join(_with_length(">I", unit) for unit in _units(payload)) for _, payload in coded]
    height, width, _ = tiles[0].shape
    properties = [
        _hvcc(coded[0][0]),
        _full_box(b"ispe", 0, struct.pack(">II", width, height)),
        _full_box(b"ispe", 0, struct.pack(">II", *size)),
        _box(b"irot", bytes((quarter_turns,))),
    ]
    grid = struct.pack(">4B2H", 0, 0, rows - 1, columns - 1, *size)
    start = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    meta = _meta(units, grid, properties, 0)
    return start + _meta(units, grid, properties, len(start) + len(meta) + 8) + _box(b"mdat", *units)


def make_single_heic(rgb: np.ndarray, quarter_turns: int) -> bytes:
    """A picture in one piece, UINT8 [h, w, 3], which a reader turns counter-clockwise."""
    parameter_sets, payload = _encode(rgb)
    units = b"".join(_with_length(">I", unit) for unit in _units(payload))
    height, width, _ = rgb.shape
    size = _full_box(b"ispe", 0, struct.pack(">II", width, height))
    properties = _box(b"ipco", _hvcc(parameter_sets), size, _box(b"irot", bytes((quarter_turns,))))
    links = _full_box(b"ipma", 0, struct.pack(">I", 1), struct.pack(">H4B", 1, 3, 0x81, 2, 3))

    def meta(offset: int) -> bytes:
        return _full_box(
            b"meta",
            0,
            _full_box(b"hdlr", 0, struct.pack(">I4s", 0, b"pict"), bytes(13)),
            _full_box(b"pitm", 0, struct.pack(">H", 1)),
            _full_box(b"iloc", 1, b"\x44\x00", struct.pack(">5H2I", 1, 1, 0, 0, 1, offset, len(units))),
            _full_box(
                b"iinf", 0, struct.pack(">H", 1), _full_box(b"infe", 2, struct.pack(">HH4s", 1, 0, b"hvc1"), b"\0")
            ),
            _box(b"iprp", properties, links),
        )

    start = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    return start + meta(len(start) + len(meta(0)) + 8) + _box(b"mdat", units)


def _meta(units: Sequence[bytes], grid: bytes, properties: Sequence[bytes], offset: int) -> bytes:
    count = len(units)
    tiles, whole = range(1, count + 1), count + 1
    places = []
    for tile, unit in zip(tiles, units, strict=True):
        places.append(struct.pack(">4H2I", tile, 0, 0, 1, offset, len(unit)))
        offset += len(unit)
    places.append(struct.pack(">4H2I", whole, 1, 0, 1, 0, len(grid)))
    kinds = [*((tile, b"hvc1") for tile in tiles), (whole, b"grid")]
    infos = [_full_box(b"infe", 2, struct.pack(">HH4s", item, 0, kind), b"\0") for item, kind in kinds]
    links = [struct.pack(">HBBB", tile, 2, 0x81, 2) for tile in tiles]
    return _full_box(
        b"meta",
        0,
        _full_box(b"hdlr", 0, struct.pack(">I4s", 0, b"pict"), bytes(13)),
        _full_box(b"pitm", 0, struct.pack(">H", whole)),
        _full_box(b"iloc", 1, b"\x44\x00", struct.pack(">H", count + 1), *places),
        _full_box(b"iinf", 0, struct.pack(">H", count + 1), *infos),
        _full_box(b"iref", 0, _box(b"dimg", struct.pack(f">{count + 2}H", whole, count, *tiles))),
        _box(
            b"iprp",
            _box(b"ipco", *properties),
            _full_box(b"ipma", 0, struct.pack(">I", count + 1), *links, struct.pack(">HBBB", whole, 2, 3, 4)),
        ),
        _box(b"idat", grid),
    )


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _full_box(kind: bytes, version: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)


def _encode(rgb: np.ndarray) -> tuple[bytes, bytes]:
    """Parameter sets and picture of one HEVC picture."""
    encoder: Any = av.CodecContext.create("libx265", "w")
    encoder.height, encoder.width, _ = rgb.shape
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 25), 25
    encoder.flags |= Flags.global_header
    encoder.options = {"x265-params": "log-level=none:pools=1", "preset": "ultrafast", "crf": "5"}
    encoder.open(strict=False)
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
    frame.pts = 0
    payload = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    return bytes(encoder.extradata), payload


def _units(annex_b: bytes) -> list[bytes]:
    return [unit for unit in re.split(rb"\x00?\x00\x00\x01", annex_b) if unit]


def _with_length(form: str, unit: bytes) -> bytes:
    return struct.pack(form, len(unit)) + unit


def _hvcc(parameter_sets: bytes) -> bytes:
    """ISO/IEC 14496-15's configuration record."""
    found = {kind: unit for unit in _units(parameter_sets) if (kind := unit[0] >> 1 & 63) in _PARAMETER_SETS}
    profile_tier_level = found[33].replace(b"\0\0\x03", b"\0\0")[3:15]
    head = b"\x01" + profile_tier_level + struct.pack(">H4BH", 0xF000, 0xFC, 0xFD, 0xF8, 0xF8, 0) + b"\x0f"
    arrays = [bytes((0x80 | kind, 0, 1)) + _with_length(">H", found[kind]) for kind in _PARAMETER_SETS]
    return _box(b"hvcC", head, bytes((len(arrays),)), *arrays)
