from __future__ import annotations

import pytest

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.services.failing_alone import FailingAlone


class FakeSession:
    session_id = "session"

    def __init__(self) -> None:
        self.errors: list[SegtritonError] = []

    def fail_with(self, error: SegtritonError) -> None:
        self.errors.append(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SegtritonError(ErrorCode.WINDOW_EXCEEDED, "Too much."), ErrorCode.WINDOW_EXCEEDED),
        (KeyError("secret"), ErrorCode.INTERNAL),
    ],
)
def test_what_goes_wrong_with_a_session_ends_it_and_goes_no_further(error: Exception, code: ErrorCode) -> None:
    session = FakeSession()
    with FailingAlone(session):  # type: ignore[arg-type]
        raise error

    assert [error.code for error in session.errors] == [code]
    assert "secret" not in str(session.errors[0])


def test_what_goes_well_ends_no_session_and_an_exit_is_no_error() -> None:
    session = FakeSession()
    with FailingAlone(session):  # type: ignore[arg-type]
        pass
    with pytest.raises(SystemExit), FailingAlone(session):  # type: ignore[arg-type]
        raise SystemExit

    assert session.errors == []
