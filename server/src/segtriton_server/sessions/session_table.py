"""The open sessions, whose they are, and what bounds them."""

from __future__ import annotations

import threading
import time
from collections import deque

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.sessions.session import Session

_RETRY_AFTER_SECONDS = 2.0
_MINUTE = 60.0


class SessionTable:
    """Sessions by id, by the client's own key, and never more than there are slots.

    Args:
        slots: sessions at once.
        tenant_slots: sessions at once of one tenant; 0 for as many as there are.
        tenant_opens_per_minute: sessions that one tenant may open in a minute; 0 for no limit.

    Attributes:
        is_draining: whether no session is taken.
        most: sessions beyond which the others go elsewhere for a while, None for no such number.
    """

    def __init__(self, slots: int, tenant_slots: int = 0, tenant_opens_per_minute: int = 0) -> None:
        self.slots = slots
        self.is_draining = False
        self.most: int | None = None
        self._tenant_slots = tenant_slots
        self._rate = OpenRate(tenant_opens_per_minute)
        self._sessions: dict[str, Session] = {}
        self._ids_by_key: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    def all(self) -> list[Session]:
        """The sessions of this moment."""
        with self._lock:
            return list(self._sessions.values())

    def ask_surplus_to_migrate(self, within_seconds: float) -> None:
        """Tell the newest of the sessions beyond `most` to go on elsewhere; those told before count."""
        sessions = self.all()
        surplus = 0 if self.most is None else len(sessions) - self.most
        surplus -= sum(session.was_asked_to_migrate for session in sessions)
        movable = [session for session in reversed(sessions) if session.may_migrate]
        for session in movable[: max(0, surplus)]:
            session.ask_to_migrate(within_seconds)

    def admit(self, session: Session, key: str) -> None:
        """Give a session a slot.

        Raises:
            SegtritonError: DRAINING, RESOURCE_EXHAUSTED, or DUPLICATE_OPEN when a live session
                of the same tenant has the same key.
        """
        with self._lock:
            if self.is_draining:
                raise SegtritonError(ErrorCode.DRAINING, "The server takes no new session.")
            if self.most is not None and len(self._sessions) >= self.most:
                raise SegtritonError(ErrorCode.DRAINING, "The server leaves new sessions to others for a moment.")
            if key and (session.tenant, key) in self._ids_by_key:
                raise SegtritonError(ErrorCode.DUPLICATE_OPEN, "This OPEN was answered before.")
            self._check_slots(session.tenant)
            self._rate.take(session.tenant, time.monotonic())
            self._sessions[session.session_id] = session
            if key:
                self._ids_by_key[session.tenant, key] = session.session_id

    def get(self, session_id: str) -> Session:
        """Return an open session; raises UNKNOWN_SESSION."""
        session = self._sessions.get(session_id)
        if session is None:
            raise SegtritonError(ErrorCode.UNKNOWN_SESSION, "There is no such session here.", session_id=session_id)
        return session

    def get_for(self, tenant: str, session_id: str) -> Session:
        """Return a tenant's own session; raises UNKNOWN_SESSION or PERMISSION_DENIED."""
        session = self.get(session_id)
        if session.tenant != tenant:
            raise SegtritonError(
                ErrorCode.PERMISSION_DENIED, "The session belongs to somebody else.", session_id=session_id
            )
        return session

    def get_by_key(self, tenant: str, key: str) -> Session:
        """Return the tenant's open session with the client's own key; raises UNKNOWN_SESSION."""
        return self.get(self._ids_by_key.get((tenant, key), ""))

    def remove(self, session: Session) -> None:
        """Free a session's slot; one that has none is left alone."""
        with self._lock:
            self._sessions.pop(session.session_id, None)
            for key in [key for key, owner in self._ids_by_key.items() if owner == session.session_id]:
                del self._ids_by_key[key]

    def _check_slots(self, tenant: str) -> None:
        if len(self._sessions) >= self.slots:
            raise _exhausted(f"All {self.slots} stream slots are taken.")
        taken = sum(session.tenant == tenant for session in self._sessions.values())
        if self._tenant_slots and taken >= self._tenant_slots:
            raise _exhausted(f"All {self._tenant_slots} stream slots of this tenant are taken.")


class OpenRate:
    """How many sessions each tenant has opened in the last minute; those who opened none since are forgotten."""

    def __init__(self, most_per_minute: int) -> None:
        self._most = most_per_minute
        self._opens: dict[str, deque[float]] = {}

    def take(self, tenant: str, now: float) -> None:
        """Count one more; raises RESOURCE_EXHAUSTED, which says when there is room again."""
        if not self._most:
            return
        self._opens = {name: opens for name, opens in self._opens.items() if now - opens[-1] < _MINUTE}
        opens = self._opens.get(tenant) or deque([float("-inf")] * self._most, self._most)
        if now - opens[0] < _MINUTE:
            raise _exhausted(
                f"This tenant may open {self._most} sessions a minute.", retry_after_seconds=_MINUTE - (now - opens[0])
            )
        opens.append(now)
        self._opens[tenant] = opens


def _exhausted(message: str, retry_after_seconds: float = _RETRY_AFTER_SECONDS) -> SegtritonError:
    return SegtritonError(ErrorCode.RESOURCE_EXHAUSTED, message, retry_after_seconds=retry_after_seconds)
