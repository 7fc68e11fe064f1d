from collections.abc import Callable
from typing import Any

import pytest

from segtriton_protocol import ErrorCode, Migrate, SegtritonError
from segtriton_server.sessions.dialects import SampleDialect
from segtriton_server.sessions.session import Session
from segtriton_server.sessions.session_table import OpenRate, SessionTable


@pytest.fixture
def make_session(make_books: Callable[..., Any]) -> Callable[..., Session]:
    return lambda tenant="": make_books(tenant=tenant).session


def refusal_of(call: Callable[[], object]) -> SegtritonError:
    with pytest.raises(SegtritonError) as caught:
        call()
    return caught.value


def test_no_more_sessions_than_slots(make_session: Callable[[], Session]) -> None:
    table = SessionTable(slots=2)
    first = make_session()
    table.admit(first, "")
    table.admit(make_session(), "")

    error = refusal_of(lambda: table.admit(make_session(), ""))
    assert error.code is ErrorCode.RESOURCE_EXHAUSTED
    assert error.retryable
    assert error.retry_after_seconds
    assert len(table) == 2

    table.remove(first)
    table.admit(make_session(), "")


def test_a_key_stands_for_one_live_session(make_session: Callable[[], Session]) -> None:
    table = SessionTable(slots=4)
    session = make_session()
    table.admit(session, "key")

    assert refusal_of(lambda: table.admit(make_session(), "key")).code is ErrorCode.DUPLICATE_OPEN
    assert table.get_by_key("", "key") is session

    table.remove(session)
    assert refusal_of(lambda: table.get_by_key("", "key")).code is ErrorCode.UNKNOWN_SESSION
    table.admit(make_session(), "key")


def test_sessions_without_a_key_do_not_meet(make_session: Callable[[], Session]) -> None:
    table = SessionTable(slots=4)
    table.admit(make_session(), "")
    table.admit(make_session(), "")

    assert len(table.all()) == 2
    assert refusal_of(lambda: table.get_by_key("", "")).code is ErrorCode.UNKNOWN_SESSION


def test_an_unknown_session_is_named(make_session: Callable[[], Session]) -> None:
    session = make_session()
    table = SessionTable(slots=1)

    error = refusal_of(lambda: table.get(session.session_id))
    assert error.code is ErrorCode.UNKNOWN_SESSION
    assert error.session_id == session.session_id
    table.remove(session)


def test_a_draining_server_takes_none(make_session: Callable[[], Session]) -> None:
    table = SessionTable(slots=1)
    table.is_draining = True

    error = refusal_of(lambda: table.admit(make_session(), ""))
    assert error.code is ErrorCode.DRAINING
    assert error.retryable


def test_sessions_beyond_a_number_are_told_to_go_and_others_not_taken(make_books: Callable[..., Any]) -> None:
    table = SessionTable(slots=9)
    sample, oldest, older, newest = (make_books(dialect) for dialect in (SampleDialect(), None, None, None))
    for books in (oldest, older, newest, sample):
        table.admit(books.open(), "")
    unopened = make_books()
    table.admit(unopened.session, "")
    table.ask_surplus_to_migrate(5)
    assert told(oldest, older, newest) == [0, 0, 0], "nothing is said of a number"

    table.most = 3
    table.ask_surplus_to_migrate(5)
    table.ask_surplus_to_migrate(5)
    assert told(oldest, older, newest) == [0, 1, 1]
    table.remove(newest.session)
    table.ask_surplus_to_migrate(5)
    assert told(oldest) == [0], "one of four is on its way"
    assert refusal_of(lambda: table.admit(make_books().session, "")).code is ErrorCode.DRAINING
    table.remove(older.session)
    assert refusal_of(lambda: table.admit(make_books().session, "")).code is ErrorCode.DRAINING

    table.most = 0
    table.ask_surplus_to_migrate(5)
    assert told(oldest) == [1]
    assert told(unopened) == [0], "it is told once it is open"
    assert not sample.responder.sent, "it would not understand"
    table.most = None
    table.admit(make_books().session, "")


def told(*many: Any) -> list[int]:
    """How often each session was asked to go on elsewhere."""
    return [sum(isinstance(message, Migrate) for message in books.responder.messages) for books in many]


def test_a_session_is_its_tenants_alone(make_session: Callable[..., Session]) -> None:
    table = SessionTable(slots=4)
    session = make_session("a")
    table.admit(session, "key")

    assert table.get_for("a", session.session_id) is session
    error = refusal_of(lambda: table.get_for("b", session.session_id))
    assert error.code is ErrorCode.PERMISSION_DENIED
    assert not error.retryable
    # The same words of another tenant are another session's: nobody learns what others call theirs.
    assert refusal_of(lambda: table.get_by_key("b", "key")).code is ErrorCode.UNKNOWN_SESSION
    table.admit(make_session("b"), "key")


def test_one_tenant_cannot_take_all_slots(make_session: Callable[..., Session]) -> None:
    table = SessionTable(slots=4, tenant_slots=2)
    for _ in range(2):
        table.admit(make_session("a"), "")

    assert refusal_of(lambda: table.admit(make_session("a"), "")).code is ErrorCode.RESOURCE_EXHAUSTED
    table.admit(make_session("b"), "")


def test_a_tenant_opens_only_so_many_sessions_a_minute() -> None:
    rate = OpenRate(most_per_minute=2)
    rate.take("a", 0.0)
    rate.take("a", 10.0)

    error = refusal_of(lambda: rate.take("a", 30.0))
    assert error.code is ErrorCode.RESOURCE_EXHAUSTED
    assert error.retry_after_seconds == 30.0
    rate.take("b", 30.0)
    rate.take("a", 60.0)
    assert refusal_of(lambda: rate.take("a", 60.0)).retry_after_seconds == 10.0
