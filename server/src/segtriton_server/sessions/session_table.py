"""The open sessions, and the slots that bound them."""

from __future__ import annotations

import threading

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.sessions.session import Session

_RETRY_AFTER_SECONDS = 2.0


class SessionTable:
    """Sessions by id, by the client's own key, and never more than there are slots."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.is_draining = False
        self._sessions: dict[str, Session] = {}
        self._ids_by_key: dict[str, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def all(self) -> list[Session]:
        """The sessions of this moment."""
        with self._lock:
            return list(self._sessions.values())

    def admit(self, session: Session, key: str) -> None:
        """Give a session a slot.

        Raises:
            SegtritonError: DRAINING, RESOURCE_EXHAUSTED, or DUPLICATE_OPEN when a live session
                has the same key.
        """
        with self._lock:
            if self.is_draining:
                raise SegtritonError(ErrorCode.DRAINING, "The server takes no new session.")
            if key and key in self._ids_by_key:
                raise SegtritonError(ErrorCode.DUPLICATE_OPEN, "This OPEN was answered before.")
            if len(self._sessions) >= self.slots:
                raise SegtritonError(
                    ErrorCode.RESOURCE_EXHAUSTED,
                    f"All {self.slots} stream slots are taken.",
                    retry_after_seconds=_RETRY_AFTER_SECONDS,
                )
            self._sessions[session.session_id] = session
            if key:
                self._ids_by_key[key] = session.session_id

    def get(self, session_id: str) -> Session:
        """Return an open session; raises UNKNOWN_SESSION."""
        session = self._sessions.get(session_id)
        if session is None:
            raise SegtritonError(ErrorCode.UNKNOWN_SESSION, "There is no such session here.", session_id=session_id)
        return session

    def get_by_key(self, key: str) -> Session:
        """Return the open session with the client's own key; raises UNKNOWN_SESSION."""
        return self.get(self._ids_by_key.get(key, ""))

    def remove(self, session: Session) -> None:
        """Free a session's slot; one that has none is left alone."""
        with self._lock:
            self._sessions.pop(session.session_id, None)
            for key in [key for key, owner in self._ids_by_key.items() if owner == session.session_id]:
                del self._ids_by_key[key]
