"""What JPEG and WebP files say beside their pixels (EXIF, XMP, colour profile), copied byte for byte."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_JPEG_START, _JPEG_SCAN = b"\xff\xd8", 0xDA
_JPEG_KEPT = ((0xE1, b""), (0xE2, b"ICC_PROFILE\0"))  # APP1 is EXIF or XMP; APP2 is other things, too
_WEBP_KEPT = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # and the flags of VP8X that announce them
_WEBP_ALPHA = 0x10
_RIFF_HEADER = 12


def copy_jpeg_metadata(original: bytes, made: bytes) -> bytes:
    """Return a JPEG with the metadata of another, where JFIF's own header ends."""
    kept = b"".join(
        segment
        for marker, segment in _jpeg_segments(original)
        if any(marker == code and segment[4:].startswith(start) for code, start in _JPEG_KEPT)
    )
    return _JPEG_START + kept + made[len(_JPEG_START) :]


def copy_webp_metadata(original: bytes, made: bytes, size: tuple[int, int]) -> bytes:
    """Return a WebP of a size (width, height) in pixels with the metadata of another."""
    kept = {name: chunk for name, chunk in _riff_chunks(original) if name in _WEBP_KEPT}
    if not kept:
        return made
    pictures = [(name, chunk) for name, chunk in _riff_chunks(made) if name != b"VP8X"]
    flags = sum(_WEBP_KEPT[name] for name in kept) | _WEBP_ALPHA * any(name == b"ALPH" for name, _ in pictures)
    sides = b"".join(struct.pack("<I", side - 1)[:3] for side in size)
    profile = kept.pop(b"ICCP", b"")
    body = _riff_chunk(b"VP8X", struct.pack("<I", flags) + sides) + profile
    body += b"".join(chunk for _, chunk in pictures) + b"".join(kept.values())
    return _riff_chunk(b"RIFF", b"WEBP" + body)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the segments before the first scan, each with its marker's code; a damaged one ends them."""
    position = len(_JPEG_START)
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _JPEG_SCAN:
        (length,) = struct.unpack_from(">H", content, position + 2)
        yield content[position + 1], content[position : position + 2 + length]
        position += 2 + length


def _riff_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = _RIFF_HEADER
    while position + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, position)
        end = position + 8 + length + length % 2
        yield name, content[position:end]
        position = end


def _riff_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + bytes(len(content) % 2)
