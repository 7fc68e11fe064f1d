"""Tells encrypted video from damaged video: without its key no decoder makes pictures of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from segtriton_client.errors import InputError
from segtriton_client.file_kinds import is_regular
from segtriton_client.sources import Source
from segtriton_client.system_errors import reading

_MATROSKA_KEY = "enc_key_id"
_TS_PACKET_BYTES = 188
_TS_SYNC = 0x47
_TS_SCRAMBLING = 0xC0  # transport_scrambling_control, in a packet's fourth byte
_MAX_TS_PACKETS = 20_000


def check_clear(packet: av.Packet[Any], source: Source) -> None:
    """Raise InputError for a packet of MP4's common encryption."""
    if packet.has_sidedata("encryption_info"):
        raise _error(source)


def check_clear_track(track: VideoStream, source: Source) -> None:
    """Raise InputError for a track of Matroska's or WebM's encryption, and for one of a scrambled transport stream."""
    if _MATROSKA_KEY in track.metadata:
        raise _error(source)
    has_size = track.codec_context is not None and track.codec_context.width  # it stands in the pictures
    if not has_size and isinstance(source, Path) and is_regular(source) and _is_scrambled(source):
        raise _error(source)


def decode_clear(container: InputContainer, track: VideoStream, source: Source) -> Iterator[av.VideoFrame]:
    """Decode a track; raises InputError if it is encrypted."""
    for packet in container.demux(track):
        check_clear(packet, source)
        yield from packet.decode()


def _error(source: Source) -> InputError:
    return InputError(f"{source} is encrypted.", "Decrypt it first, or take it from where it is not protected.")


def _is_scrambled(path: Path) -> bool:
    """Tell whether a file is a transport stream with scrambled packets."""
    with reading(path), path.open("rb") as file:
        for _ in range(_MAX_TS_PACKETS):
            packet = file.read(_TS_PACKET_BYTES)
            if len(packet) < _TS_PACKET_BYTES or packet[0] != _TS_SYNC:
                return False
            if packet[3] & _TS_SCRAMBLING:
                return True
    return False
