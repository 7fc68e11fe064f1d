from collections.abc import Callable
from typing import Any

import pytest

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.sessions.session import Session
from segtriton_server.sessions.session_table import SessionTable


@pytest.fixture
def make_session(make_books: Callable[..., Any]) -> Callable[[], Session]:
    return lambda: make_books().session


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
    assert table.get_by_key("key") is session

    table.remove(session)
    assert refusal_of(lambda: table.get_by_key("key")).code is ErrorCode.UNKNOWN_SESSION
    table.admit(make_session(), "key")


def test_sessions_without_a_key_do_not_meet(make_session: Callable[[], Session]) -> None:
    table = SessionTable(slots=4)
    table.admit(make_session(), "")
    table.admit(make_session(), "")

    assert len(table.all()) == 2
    assert refusal_of(lambda: table.get_by_key("")).code is ErrorCode.UNKNOWN_SESSION


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
