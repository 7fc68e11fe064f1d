"""What a worker may write to the router: every field of every message has a type and a bound.

Those of results are checked as they are unpacked (`channel.py`). A worker handles untrusted media and may have been
taken over. What does not fit here no sound worker has written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_protocol.json_fields import JsonFields, is_integer
from segtriton_protocol.server_messages import read_frames_without_class
from segtriton_server.workers.channel import AnyMessage, ChannelMessage, SessionPackets, SessionResults

MAX_NOTES = 64
MAX_BATCHES = 1024

_MAX_SECONDS = 86400.0
_MAX_SIDE = 65535
_MAX_BATCH = 65536
_MAX_CLASSES = 10_000
_MAX_WARNINGS = 64
_MAX_NAME, _MAX_SENTENCE, _MAX_CLASS_NAMES, _MAX_EXTRADATA = 256, 4096, 1 << 16, 1 << 17
_HEX = re.compile("(?:[0-9a-f]{2})*")


def check_message(message: AnyMessage) -> ChannelMessage | SessionResults:
    """Return a message; raises INVALID_MESSAGE, which names the field, unless it is one that a worker writes."""
    if isinstance(message, SessionResults):
        if not message.session_id:
            raise JsonFields({"session": ""}, "results").refuse("session", "that of the sessions' kinds")
        return message
    if isinstance(message, SessionPackets):
        raise SegtritonError(ErrorCode.INVALID_MESSAGE, "Packets go to workers only.")
    fields = JsonFields(message.body, message.kind)
    check = _CHECKS.get(message.kind)
    if check is None:
        raise JsonFields({"kind": message.kind}, "message").refuse("kind", f"one of {', '.join(_CHECKS)}")
    if bool(message.session_id) != (message.kind in _OF_A_SESSION):
        raise JsonFields({"session": message.session_id}, message.kind).refuse("session", "that of the sessions' kinds")
    check(fields)
    return message


def _check_ready(fields: JsonFields) -> None:
    for name in ("network", "default_class", "licence"):
        if not fields.text(name, max_length=_MAX_NAME).isprintable():
            raise fields.refuse(name, "printable")
    _check_texts(fields, "classes", _MAX_CLASSES, _MAX_NAME)


def _check_beat(fields: JsonFields) -> None:
    fields.number("busy_seconds", 0.0, _MAX_SECONDS)
    _check_batches(fields)


def _check_opened(fields: JsonFields) -> None:
    for name in ("network", "decoder", "encoder", "output_codec", "output_pixel_format"):
        if not fields.text(name, max_length=_MAX_NAME).isprintable():  # some go to the log, where a line is a record
            raise fields.refuse(name, "printable")
    fields.text("class_name", max_length=_MAX_CLASS_NAMES)
    fields.text("encoder_reason", max_length=_MAX_SENTENCE)
    if not _HEX.fullmatch(fields.text("output_extradata", max_length=_MAX_EXTRADATA)):
        raise fields.refuse("output_extradata", "bytes in hexadecimal")
    fields.integer("output_width", 1, _MAX_SIDE)
    fields.integer("output_height", 1, _MAX_SIDE)
    _check_texts(fields, "classes", _MAX_CLASSES, _MAX_NAME)
    _check_texts(fields, "warnings", _MAX_WARNINGS, _MAX_SENTENCE)


def _check_ended(fields: JsonFields) -> None:
    _check_texts(fields, "notes", MAX_NOTES, _MAX_SENTENCE)
    read_frames_without_class(fields)
    _check_batches(fields)


def _check_failed(fields: JsonFields) -> None:
    fields.choice("code", ErrorCode.__members__)
    fields.text("message", max_length=_MAX_SENTENCE)
    if fields.wire.get("seq") is not None:
        fields.integer("seq", 0)
    if fields.wire.get("retry_after_seconds") is not None:
        fields.number("retry_after_seconds", 0.0, _MAX_SECONDS)


_OF_A_SESSION: dict[str, Callable[[JsonFields], None]] = {
    "opened": _check_opened,
    "ended": _check_ended,
    "failed": _check_failed,
}
_CHECKS: dict[str, Callable[[JsonFields], None]] = {
    "ready": _check_ready,
    "beat": _check_beat,
    **_OF_A_SESSION,
}


def _check_batches(fields: JsonFields) -> None:
    if not all(is_integer(frames, 1, _MAX_BATCH) for frames in _items(fields, "batches", MAX_BATCHES)):
        raise fields.refuse("batches", f"numbers of frames from 1 to {_MAX_BATCH}")


def _items(fields: JsonFields, key: str, most: int) -> list[Any]:
    value = fields.wire.get(key)
    if not isinstance(value, list) or len(value) > most:
        raise fields.refuse(key, f"a list of at most {most}")
    return value


def _check_texts(fields: JsonFields, key: str, most: int, max_length: int) -> None:
    if not all(isinstance(text, str) and len(text) <= max_length for text in _items(fields, key, most)):
        raise fields.refuse(key, f"texts of at most {max_length} characters")
