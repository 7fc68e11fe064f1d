"""How answers travel: over the OPEN request alone, or over whichever request is open, read and unread."""

from collections.abc import Callable
from typing import Any

import pytest
from fake_responder import FakeResponder

from segtriton_protocol import AnswerId, Drop, DropReason, Ended, ErrorCode, Failed, Migrate, Packet, SegtritonError
from segtriton_protocol.packets import PacketBlock
from segtriton_server.sessions.answers import AnswerLimits
from segtriton_server.sessions.dialects import SampleDialect

pack = PacketBlock.pack
MakeBooks = Callable[..., Any]
MakePacket = Callable[..., Packet]

KILOBYTE = b"x" * 1000
# The fourth frame of a kilobyte is one too many.
LIMITS = AnswerLimits(unread=3 * (1000 + 1024), one_request=3000)
MAX_OPEN_REQUESTS = 8


def run_frames(books: Any, make_packet: MakePacket, numbers: range, payload: bytes = b"x") -> None:
    for number in numbers:
        books.session.accept(pack([make_packet(number)]))
        books.session.deliver(pack([make_packet(number, payload)]), [], [], 0)


def ids(*responders: FakeResponder) -> list[AnswerId]:
    return [message.answer_id for responder in responders for message in responder.messages if message.answer_id]


# ---------------------------------------------------------------- over whichever request is open


def test_each_further_request_ends_the_one_before_it_with_an_answer(
    make_books: MakeBooks, make_packet: MakePacket
) -> None:
    books = make_books(acknowledges=True)
    session = books.open()
    second, third = FakeResponder(), FakeResponder()

    assert session.offer(second)
    run_frames(books, make_packet, range(1))
    assert books.responder.is_closed
    run_frames(books, make_packet, range(1, 3))
    assert not second.is_closed
    assert session.offer(third)
    run_frames(books, make_packet, range(3, 5))
    session.end(5)
    session.finish()

    assert [len(one.sent) for one in (books.responder, second, third)] == [2, 3, 2]
    assert isinstance(third.messages[-1], Ended)
    assert second.is_closed
    assert third.is_closed
    assert [answer.number for answer in ids(books.responder, second, third)] == list(range(7))
    assert not books.ended_requests


def test_the_last_answer_comes_after_the_end_of_all_other_requests(
    make_books: MakeBooks, make_packet: MakePacket
) -> None:
    books = make_books(acknowledges=True)
    session = books.open()
    others = [FakeResponder() for _ in range(3)]
    for one in others:
        session.offer(one)
    session.fail(ErrorCode.WORKER_LOST, "It died.")

    assert all(one.is_closed for one in (books.responder, *others))
    assert isinstance(others[-1].messages[-1], Failed)
    assert not session.offer(FakeResponder())


def test_requests_without_an_answer_do_not_pile_up(make_books: MakeBooks) -> None:
    books = make_books(acknowledges=True)
    session = books.open()
    for _ in range(20):
        assert session.offer(FakeResponder())
    assert len(books.ended_requests) == 21 - MAX_OPEN_REQUESTS
    assert books.ended_requests[0] is books.responder


def test_the_client_is_asked_for_through_its_newest_request(make_books: MakeBooks) -> None:
    books = make_books(acknowledges=True)
    session = books.open()
    newest = FakeResponder()
    session.offer(newest)
    newest.cancelled = True
    assert session.is_cancelled(session.last_activity + 1)


def test_the_work_waits_until_what_was_sent_is_acknowledged(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books(acknowledges=True, limits=LIMITS)
    session = books.open()
    run_frames(books, make_packet, range(2), KILOBYTE)
    assert books.pauses == []
    run_frames(books, make_packet, range(2, 4), KILOBYTE)
    assert books.pauses == [True]

    sent = ids(books.responder)
    session.mark_read(0, sent[2])
    assert books.pauses == [True], "half of what may be unread still is"
    session.mark_read(0, sent[3])
    assert books.pauses == [True, False]
    session.mark_read(0, sent[1])  # one that was overtaken by another one


@pytest.mark.parametrize("number", [-1, 2, 2**62])
def test_nobody_acknowledges_what_it_has_not_read(make_books: MakeBooks, make_packet: MakePacket, number: int) -> None:
    books = make_books(acknowledges=True)
    session = books.open()
    run_frames(books, make_packet, range(1))
    answer = ids(books.responder)[-1]
    lie = AnswerId(answer.number, answer.nonce ^ 1) if number < 0 else AnswerId(number, answer.nonce)

    with pytest.raises(SegtritonError) as caught:
        session.mark_read(0, lie)
    assert caught.value.code is ErrorCode.INVALID_MESSAGE


# ---------------------------------------------------------------- over the OPEN request alone


def test_other_requests_carry_no_answers_of_a_client_that_does_not_acknowledge(make_books: MakeBooks) -> None:
    books = make_books()
    assert not books.open().offer(FakeResponder())


def test_more_received_than_was_sent_is_refused(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books()
    session = books.open()
    session.accept(pack([make_packet(0), make_packet(1)]))
    session.deliver(pack([make_packet(0)]), [], [Drop(1, DropReason.DAMAGED)], 0)
    session.mark_read(2, None)
    with pytest.raises(SegtritonError) as caught:
        session.mark_read(3, None)
    assert caught.value.code is ErrorCode.INVALID_MESSAGE


def test_what_was_read_stays_read(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books(window_packets=4)
    session = books.open()
    run_frames(books, make_packet, range(8))
    session.mark_read(8, None)
    run_frames(books, make_packet, range(8, 16))
    session.mark_read(0, None)


def test_two_windows_of_unread_answers_are_too_many(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books(window_packets=4)
    session = books.open()
    run_frames(books, make_packet, range(8))
    session.mark_read(0, None)
    run_frames(books, make_packet, range(8, 9))
    with pytest.raises(SegtritonError) as caught:
        session.mark_read(0, None)
    assert caught.value.code is ErrorCode.SLOW_CONSUMER


def test_the_work_waits_for_received_but_never_after_the_end(make_books: MakeBooks, make_packet: MakePacket) -> None:
    books = make_books(limits=AnswerLimits(unread=3000, one_request=1 << 30))
    session = books.open()
    run_frames(books, make_packet, range(31), KILOBYTE)
    assert books.pauses == [], "a client may wait for the credit of so many answers before it sends again"
    run_frames(books, make_packet, range(31, 32), KILOBYTE)
    assert books.pauses == [True]
    session.mark_read(31, None)
    assert books.pauses == [True, False]
    run_frames(books, make_packet, range(32, 64), KILOBYTE)
    session.end(64)
    assert books.pauses == [True, False, True, False]


def test_a_session_that_one_request_cannot_hold_is_handed_on_and_then_ended(
    make_books: MakeBooks, make_packet: MakePacket
) -> None:
    books = make_books(limits=LIMITS)
    books.open()
    run_frames(books, make_packet, range(4), KILOBYTE)
    assert isinstance(books.responder.messages[-1], Migrate)
    run_frames(books, make_packet, range(4, 6), KILOBYTE)
    assert not books.closed
    run_frames(books, make_packet, range(6, 7), KILOBYTE)
    failed = books.responder.messages[-1]
    assert isinstance(failed, Failed)
    assert failed.error.code is ErrorCode.RESOURCE_EXHAUSTED
    assert failed.error.retryable


def test_a_session_of_the_samples_contract_ends_where_one_request_cannot_hold_it(
    make_books: MakeBooks, make_packet: MakePacket
) -> None:
    books = make_books(dialect=SampleDialect(), limits=LIMITS)
    books.open()
    run_frames(books, make_packet, range(3), KILOBYTE)
    assert not books.closed
    run_frames(books, make_packet, range(3, 4), KILOBYTE)
    (text,) = books.responder.failures
    assert text.startswith("RESOURCE_EXHAUSTED: ")
