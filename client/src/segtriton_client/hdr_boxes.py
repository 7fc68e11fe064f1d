"""HDR10's metadata in the header of an MP4, from which FFmpeg takes it for every container: PyAV cannot set it."""

from __future__ import annotations

import struct

from segtriton_protocol import HdrMetadata

# From the outermost to the video's sample entry, whose last parts the boxes become.
_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


def add_hdr_boxes(content: bytes, hdr: HdrMetadata) -> bytes:
    """Return an MP4 of one H.264 track, whose `moov` comes last, with the boxes `mdcv` and `clli`."""
    boxes = _display_box(hdr.mastering_display) + _light_box(hdr.content_light)
    changed = bytearray(content)
    end = start = content.rindex(_PATH[0])
    for kind in _PATH:
        start = content.index(kind, start) - 4
        (length,) = struct.unpack_from(">I", content, start)
        struct.pack_into(">I", changed, start, length + len(boxes))
        end = start + length
    changed[end:end] = boxes
    return bytes(changed)


def _display_box(display: tuple[int, ...]) -> bytes:
    if not display:
        return b""
    red, green, blue, white = display[0:2], display[2:4], display[4:6], display[6:8]
    return _box(b"mdcv", struct.pack(">8H2I", *green, *blue, *red, *white, *display[8:]))


def _light_box(light: tuple[int, ...]) -> bytes:
    return _box(b"clli", struct.pack(">2H", *light)) if light else b""


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload
