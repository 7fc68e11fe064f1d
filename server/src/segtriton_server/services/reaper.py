"""What is done ten times a second beside the requests: sessions without a client are ended, orders to drain heeded."""

from __future__ import annotations

import logging
import os
import threading
import time

from segtriton_protocol import ErrorCode
from segtriton_server.observability.metrics import Metrics
from segtriton_server.observability.shared_memory import SharedMemory
from segtriton_server.process_start import process_start
from segtriton_server.services.drain_order import DrainOrder
from segtriton_server.services.heartbeat import Heartbeat
from segtriton_server.services.keep_order import KeepOrder
from segtriton_server.sessions.session import Session
from segtriton_server.sessions.session_table import SessionTable
from segtriton_server.settings import Settings

_LOG = logging.getLogger(__name__)
_SECONDS = 0.1


class Reaper:
    """A thread of its own, from `start` to `close`."""

    def __init__(self, settings: Settings, sessions: SessionTable, metrics: Metrics, heartbeat: Heartbeat) -> None:
        self._sessions = sessions
        self._metrics = metrics
        self._heartbeat = heartbeat
        self._idle_timeout = settings.idle_timeout
        server_start = process_start(os.getppid())
        self._drain_order = DrainOrder(settings.drain_file, server_start)
        self._keep_order = KeepOrder(settings.drain_file, server_start)
        self._shared_memory = SharedMemory(metrics)
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="reap-sessions", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(_SECONDS):
            now = time.monotonic()
            self._heartbeat.beat(now)
            self._heed_drain_order()
            self._heed_keep_order()
            self._shared_memory.look(now)
            for session in self._sessions.all():
                try:
                    self._reap(session, now)
                except Exception:  # noqa: BLE001 - the other sessions still need the reaper
                    _LOG.exception("a session could not be reaped")
            self._metrics.flush()

    def _reap(self, session: Session, now: float) -> None:
        if session.is_cancelled(now):
            session.fail(ErrorCode.CANCELLED, "The client is gone.")
        elif session.is_idle(now, self._idle_timeout):
            session.fail(ErrorCode.IDLE_TIMEOUT, "Nothing came or went for too long.")

    def _heed_drain_order(self) -> None:
        order = self._drain_order.read()
        if order.drains != self._sessions.is_draining:
            self._sessions.is_draining = order.drains
            self._metrics.set("segtriton_draining", order.drains)
            _LOG.warning("the server %s new sessions", "takes no" if order.drains else "takes")
        if order.migrates:
            for session in self._sessions.all():
                session.ask_to_migrate(order.within_seconds)

    def _heed_keep_order(self) -> None:
        keep = self._keep_order.read()
        most = keep.sessions if keep else None
        if most != self._sessions.most:
            self._sessions.most = most
            _LOG.warning("the server keeps %s sessions", "all" if most is None else most)
        if keep:
            self._sessions.ask_surplus_to_migrate(keep.seconds_left)
