"""One session against a responder that keeps what is sent."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segtriton_protocol import Drop, DropReason, Ended, ErrorCode, Failed, Opened, Output, Packet, SegtritonError
from segtriton_protocol.packets import PacketBlock
from segtriton_server.sessions.dialects import SampleDialect

pack = PacketBlock.pack
MakeBooks = Callable[..., Any]
MakePacket = Callable[..., Packet]


def test_a_run_from_open_to_the_counts(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books()
    session = books.open()
    assert session.accept(pack([make_packet(0), make_packet(1), make_packet(2)]))
    assert session.end(3)
    session.deliver(pack([make_packet(0, b"a"), make_packet(2, b"c")]), [], [Drop(1, DropReason.DAMAGED)], 0)
    session.stage_times.add({"decode": (0.003, 3)})
    session.stage_times.add({"decode": (0.003, 1)})
    session.finish()

    opened, output, ended = books.responder.messages
    assert isinstance(opened, Opened)
    assert opened.session_id == session.session_id
    assert isinstance(output, Output)
    assert [packet.seq for packet in output.packets] == [0, 2]
    assert output.drops == (Drop(1, DropReason.DAMAGED),)
    assert output.credit.packets == 3 + 8
    assert ended == Ended(3, 2, {"damaged": 1}, hashlib.sha256(b"ac").hexdigest(), {"decode": 1.5})
    assert books.responder.is_closed
    assert books.closed == [session]
    assert books.metric("segtriton_frames_total") == {("out",): 2, ("damaged",): 1}
    assert books.metric("segtriton_frame_latency_seconds") == {(): 2}
    assert books.metric("segtriton_sessions_failed_total") == {}


def test_what_was_never_sent_and_never_answered_is_told_before_the_end(
    make_books: MakeBooks, make_packet: MakePacket
) -> None:
    books = make_books()
    session = books.open()
    session.accept(pack([make_packet(0), make_packet(2)]))
    session.end(5)
    session.deliver(pack([make_packet(0)]), [], [], 0)
    session.finish()

    drops = [drop for message in books.responder.messages if isinstance(message, Output) for drop in message.drops]
    ended = books.responder.messages[-1]
    missing, silent = DropReason.MISSING, DropReason.NO_FRAME
    assert drops == [Drop(1, missing), Drop(2, silent), Drop(3, missing), Drop(4, missing)]
    assert isinstance(ended, Ended)
    assert (ended.frames_in, ended.frames_out, ended.frames_dropped) == (5, 1, {"missing": 3, "no_frame": 1})
    assert books.metric("segtriton_frames_total") == {("out",): 1, ("missing",): 3, ("no_frame",): 1}


def test_a_frame_that_comes_twice_goes_out_once(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books()
    session = books.open()
    session.accept(pack([make_packet(0)]))
    for _ in range(2):
        session.deliver(pack([make_packet(0, b"a")]), [], [], 0)
    session.end(1)
    session.finish()

    ended = books.responder.messages[-1]
    assert isinstance(ended, Ended)
    assert (ended.frames_out, ended.digest) == (1, hashlib.sha256(b"a").hexdigest())


def test_a_failure_books_the_rest_as_abandoned(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books()
    session = books.open()
    session.accept(pack([make_packet(0), make_packet(1), make_packet(2)]))
    session.deliver(pack([make_packet(0)]), [], [], 0)
    session.fail(ErrorCode.WORKER_LOST, "It died.")

    *_, abandoned, failed = books.responder.messages
    assert isinstance(abandoned, Output)
    assert abandoned.drops == (Drop(1, DropReason.ABANDONED), Drop(2, DropReason.ABANDONED))
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.WORKER_LOST
    assert failed.error.session_id == session.session_id
    assert session.ledger.frames_out + sum(session.ledger.dropped.values()) == session.ledger.frames_in
    assert books.metric("segtriton_frames_total") == {("out",): 1, ("abandoned",): 2}
    assert books.metric("segtriton_sessions_failed_total") == {("WORKER_LOST",): 1}


def test_after_its_end_a_session_says_no_more(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books()
    session = books.open()
    session.accept(pack([make_packet(0)]))
    session.fail(ErrorCode.CANCELLED, "Enough.")
    sent = len(books.responder.sent)

    session.deliver(pack([make_packet(0)]), [], [], 0)
    session.fail(ErrorCode.INTERNAL, "Again.")
    session.finish()
    session.opened(books.responder.messages[0])
    books.responder.cancelled = True

    assert len(books.responder.sent) == sent
    assert books.closed == [session]
    assert not session.is_cancelled(time.monotonic() + 10)


def test_packets_that_come_while_a_session_ends_are_not_booked(make_books: MakeBooks, make_packet: MakePacket) -> None:
    """Another thread ends it between the look-up of the session and the booking."""
    books = make_books()
    session = books.open()
    session.accept(pack([make_packet(0)]))
    session.fail(ErrorCode.WORKER_LOST, "It died.")
    said = len(books.responder.sent)

    assert not session.accept(pack([make_packet(3)]))
    assert not session.end(9)
    assert len(books.responder.sent) == said
    assert books.metric("segtriton_frames_total") == {("abandoned",): 1}
    assert session.ledger.frames_in == 1


def test_only_a_silent_client_is_asked_whether_it_is_there(make_books: MakeBooks) -> None:
    books = make_books()
    session = books.open()
    books.responder.cancelled = True

    assert not session.is_cancelled(time.monotonic())
    assert session.is_cancelled(time.monotonic() + 1)


def test_a_refused_open_is_no_failed_session(make_books: MakeBooks) -> None:
    books = make_books()
    books.session.fail(ErrorCode.UNKNOWN_CLASS, "No such class.")

    (failed,) = books.responder.messages
    assert isinstance(failed, Failed)
    assert books.metric("segtriton_sessions_failed_total") == {}


def test_video_of_which_nothing_decodes_is_an_error(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books()
    session = books.open()
    session.accept(pack([make_packet(0), make_packet(1)]))
    session.deliver(pack([]), [], [], damaged=2)
    session.end(2)
    session.finish()

    failed = books.responder.messages[-1]
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.DECODE_FAILED
    assert books.metric("segtriton_frames_total") == {("damaged",): 2}


def test_a_session_without_packets_ends_with_zeros(make_books: MakeBooks) -> None:
    books = make_books()
    session = books.open()
    session.end(0)
    session.finish()

    assert books.responder.messages[-1] == Ended(0, 0, {}, hashlib.sha256().hexdigest(), {})


@pytest.mark.parametrize(
    ("numbers", "is_key", "code"),
    [
        ([0], False, ErrorCode.NEED_KEYFRAME),
        (range(9), True, ErrorCode.WINDOW_EXCEEDED),
        ([2**58], True, ErrorCode.INVALID_PACKET),
    ],
)
def test_packets_against_the_rules_are_refused(
    make_books: MakeBooks, make_packet: MakePacket, numbers: list[int], is_key: bool, code: ErrorCode
) -> None:
    session = make_books().open()

    with pytest.raises(SegtritonError) as caught:
        session.accept(pack([make_packet(seq, key=is_key) for seq in numbers]))

    assert caught.value.code is code
    assert caught.value.seq == numbers[-1]


def test_packets_after_the_end_are_refused_and_a_second_end_changes_nothing(
    make_books: MakeBooks, make_packet: MakePacket
) -> None:
    session = make_books().open()
    session.accept(pack([make_packet(0)]))
    assert session.end(1)
    assert not session.end(7)

    with pytest.raises(SegtritonError) as caught:
        session.accept(pack([make_packet(1)]))

    assert caught.value.code is ErrorCode.INVALID_MESSAGE


def test_an_end_far_beyond_the_packets_is_refused(make_books: MakeBooks) -> None:
    with pytest.raises(SegtritonError) as caught:
        make_books().open().end(2**62)

    assert caught.value.code is ErrorCode.INVALID_MESSAGE


def test_a_session_is_idle_when_nothing_has_come_for_the_timeout(make_books: MakeBooks) -> None:
    session = make_books().open()

    assert not session.is_idle(session.last_activity + 0.9, timeout=1.0)
    assert session.is_idle(session.last_activity + 1.1, timeout=1.0)


@pytest.mark.parametrize("message", ["nothing new", "no packets", "no frames"])
def test_a_message_that_brings_nothing_keeps_no_slot(
    make_books: MakeBooks, make_packet: MakePacket, message: str, monkeypatch: Any
) -> None:
    session = make_books().open()
    session.accept(pack([make_packet(0)]))
    before = session.last_activity
    later = time.monotonic() + 50
    monkeypatch.setattr(time, "monotonic", lambda: later)

    match message:
        case "nothing new":
            session.accept(pack([make_packet(0)]))
        case "no packets":
            session.accept(pack([]))
        case "no frames":
            session.deliver(pack([make_packet(9)]), [], [], 1)
    assert session.last_activity == before

    session.accept(pack([make_packet(1)]))
    assert session.last_activity == later


def test_a_frame_that_is_delivered_is_progress(
    make_books: MakeBooks, make_packet: MakePacket, monkeypatch: Any
) -> None:
    session = make_books().open()
    session.accept(pack([make_packet(0)]))
    later = time.monotonic() + 50
    monkeypatch.setattr(time, "monotonic", lambda: later)
    session.deliver(pack([make_packet(0)]), [], [], 0)

    assert session.last_activity == later


ACTS: dict[str, Callable[[Any, Packet], object]] = {
    "opened": lambda books, packet: books.open(),
    "packets after a gap": lambda books, packet: books.session.accept(pack([packet])),
    "frames": lambda books, packet: books.session.deliver(pack([]), [], [Drop(0, DropReason.DAMAGED)], 0),
    "the end": lambda books, packet: books.session.finish(),
    "a failure": lambda books, packet: books.session.fail(ErrorCode.IDLE_TIMEOUT, "Nothing came."),
    "a request to migrate": lambda books, packet: books.session.ask_to_migrate(1.0),
}


@pytest.mark.parametrize("failing", [1, 2], ids=["for a moment", "for good"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("acknowledges", [False, True])
def test_an_answer_that_triton_does_not_take_ends_its_session(
    make_books: MakeBooks, make_packet: MakePacket, act: str, failing: int, acknowledges: bool
) -> None:
    books = make_books(acknowledges=acknowledges)
    session = books.open()
    session.accept(pack([make_packet(0)]))
    books.responder.failing = failing
    ACTS[act](books, make_packet(3))

    assert books.closed == [session]
    assert books.responder.is_closed
    failed = [message.error for message in books.responder.messages if isinstance(message, Failed)]
    assert [error.code for error in failed] == [session.error.code][: 2 - failing]
    assert books.metric("segtriton_sessions_failed_total") == {(session.error.code.name,): 1}
    assert session.error.retryable
    assert sum(books.metric("segtriton_frames_total").values()) == session.ledger.frames_in
    ACTS[act](books, make_packet(4))
    assert books.closed == [session]


def test_the_samples_contract(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books(SampleDialect())
    session = books.open()
    session.accept(pack([make_packet(0), make_packet(1)]))
    session.deliver(pack([make_packet(0, b"IDR"), make_packet(1, b"P", key=False)]), [], [], 0)
    session.end(None)
    session.finish()

    answers = [
        (bytes(sent["PACKET_OUT"]), list(sent["FRAME_SIZE"]), *sent["LAST_PACKET"]) for sent in books.responder.sent
    ]
    assert answers == [(b"SPSIDR", [48, 64], False), (b"P", [48, 64], False), (b"", [0, 0], True)]
    assert {name: array.dtype for name, array in books.responder.sent[0].items()} == {
        "PACKET_OUT": np.uint8,
        "FRAME_SIZE": np.uint64,
        "LAST_PACKET": np.bool_,
    }
    assert books.responder.is_closed


def test_in_the_samples_contract_a_failure_is_a_triton_error(make_books: MakeBooks) -> None:
    books = make_books(SampleDialect())
    books.open().fail(ErrorCode.IDLE_TIMEOUT, "Nothing came.")

    assert books.responder.sent == []
    (text,) = books.responder.failures
    assert text.startswith("IDLE_TIMEOUT: Nothing came.")
