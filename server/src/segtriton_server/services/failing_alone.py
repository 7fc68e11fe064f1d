"""What goes wrong with one session ends it, and nothing else."""

from __future__ import annotations

from types import TracebackType

from segtriton_protocol import SegtritonError
from segtriton_server.observability.logs import session_log
from segtriton_server.sessions.dialects import internal_error
from segtriton_server.sessions.session import Session


class FailingAlone:
    """Ends a session for whatever exception leaves the block: the thread that runs it serves other sessions, too."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """End the session if there was an exception; what is none of `Exception` passes on."""
        if error is None or not isinstance(error, Exception):
            return False
        if isinstance(error, SegtritonError):
            self._session.fail_with(error)
        else:
            session_log(__name__, self._session.session_id).error("the session failed", exc_info=error)
            self._session.fail_with(internal_error())
        return True
