from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtriton_protocol import ErrorCode, Packet, SegtritonError
from segtriton_protocol.packets import PacketBlock
from segtriton_server.workers.channel import ChannelMessage, SessionPackets, SessionResults
from segtriton_server.workers.worker_messages import check_message

OPENED = {
    "network": "selfie",
    "class_name": "person",
    "classes": ["background", "person"],
    "decoder": "h264",
    "encoder": "libx264",
    "encoder_reason": "It was asked for.",
    "output_codec": "h264",
    "output_pixel_format": "yuv420p",
    "output_extradata": "00ff",
    "output_width": 176,
    "output_height": 144,
    "warnings": [],
}
FAILED = SegtritonError(ErrorCode.INTERNAL, "A stage failed.", seq=3, retry_after_seconds=2.0).to_json()
SOUND = {
    "ready": {"network": "n", "classes": ["a"], "default_class": "a", "licence": "MIT"},
    "beat": {"busy_seconds": 0.0, "batches": [1, 4]},
    "opened": OPENED,
    "ended": {"notes": ["The pictures are interlaced; they were deinterlaced."], "batches": []},
    "failed": FAILED,
}
OF_NO_SESSION = ("ready", "beat")

HUGE = 2**62
BAD: list[tuple[str, str, object]] = [
    ("ready", "network", "a\nb"),
    ("ready", "licence", 7),
    ("ready", "classes", [1]),
    ("ready", "classes", ["a"] * 10_001),
    ("beat", "busy_seconds", math.nan),
    ("beat", "busy_seconds", math.inf),
    ("beat", "busy_seconds", -1),
    ("beat", "busy_seconds", "x"),
    ("beat", "busy_seconds", None),
    ("beat", "batches", 4),
    ("beat", "batches", ["x"]),
    ("beat", "batches", [0]),
    ("beat", "batches", [True]),
    ("beat", "batches", [HUGE]),
    ("beat", "batches", [1] * 5000),
    ("opened", "decoder", "h264\n2026-01-01 ERROR forged"),
    ("opened", "encoder", "x" * 5000),
    ("opened", "classes", "person"),
    ("opened", "classes", [1]),
    ("opened", "classes", ["x"] * 20_000),
    ("opened", "warnings", ["x"] * 65),
    ("opened", "output_extradata", "0"),
    ("opened", "output_extradata", "no"),
    ("opened", "output_width", 0),
    ("opened", "output_height", HUGE),
    ("ended", "batches", [0]),
    ("ended", "frames_without_class", -1),
    ("ended", "frames_without_class", "x"),
    ("ended", "frames_without_class", [1]),
    ("ended", "notes", "x"),
    ("ended", "notes", ["x"] * 65),
    ("ended", "notes", ["x" * 5000]),
    ("failed", "code", "INVENTED"),
    ("failed", "code", ["INTERNAL"]),
    ("failed", "message", "x" * 5000),
    ("failed", "message", None),
    ("failed", "seq", -1),
    ("failed", "seq", 2**80),
    ("failed", "retry_after_seconds", math.nan),
    ("failed", "retry_after_seconds", HUGE),
]


def message(kind: str, body: dict[str, Any]) -> ChannelMessage:
    return ChannelMessage(kind, "" if kind in OF_NO_SESSION else "session", body)


@pytest.mark.parametrize("kind", SOUND)
def test_what_workers_write_is_taken(kind: str) -> None:
    check_message(message(kind, SOUND[kind]))


@pytest.mark.parametrize(("kind", "field", "value"), BAD, ids=lambda value: repr(value)[:40])
def test_each_field_has_a_type_and_bounds(kind: str, field: str, value: object) -> None:
    with pytest.raises(SegtritonError, match=f"{kind}.*{field}"):
        check_message(message(kind, {**SOUND[kind], field: value}))


@pytest.mark.parametrize("kind", SOUND)
def test_no_field_may_be_missing(kind: str) -> None:
    with pytest.raises(SegtritonError):
        check_message(message(kind, {}))


def test_results_are_of_a_session_and_packets_come_from_no_worker() -> None:
    block = PacketBlock.pack([Packet(0, 0, 0, 1, True, b"x")])
    check_message(SessionResults("session", block))
    with pytest.raises(SegtritonError, match="session"):
        check_message(SessionResults("", block))
    with pytest.raises(SegtritonError, match="Packets"):
        check_message(SessionPackets("session", block))


@pytest.mark.parametrize("kind", SOUND)
def test_a_message_is_of_a_session_or_of_none(kind: str) -> None:
    with pytest.raises(SegtritonError, match="session"):
        check_message(ChannelMessage(kind, "session" if kind in OF_NO_SESSION else "", SOUND[kind]))


def test_kinds_are_known() -> None:
    with pytest.raises(SegtritonError, match=r"kind must be one of .*, not 'open'"):
        check_message(ChannelMessage("open", "session"))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(kind=st.sampled_from(sorted(SOUND)), changed=st.data())
def test_anything_else_is_refused_by_a_sentence(kind: str, changed: st.DataObject) -> None:
    body = dict(SOUND[kind])
    body[changed.draw(st.sampled_from(sorted(body)))] = changed.draw(ANYTHING)
    with contextlib.suppress(SegtritonError):
        check_message(message(kind, body))
