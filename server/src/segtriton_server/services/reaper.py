"""What is done ten times a second beside the requests: sessions without a client are ended, orders to drain heeded."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from segtriton_protocol import ErrorCode
from segtriton_server.observability.metrics import Metrics
from segtriton_server.observability.shared_memory import SharedMemory
from segtriton_server.process_start import process_start
from segtriton_server.services.drain_order import DrainOrder
from segtriton_server.services.heartbeat import Heartbeat
from segtriton_server.services.keep_order import KeepOrder
from segtriton_server.sessions.dialects import internal_error
from segtriton_server.sessions.session import Session
from segtriton_server.sessions.session_table import SessionTable
from segtriton_server.settings import Settings
from segtriton_server.supervised_thread import SupervisedThread

_LOG = logging.getLogger(__name__)
_SECONDS = 0.1
_HISTOGRAM_SECONDS = 1.0


class Reaper:
    """A thread of its own, from `start` to `close`.

    A step that fails is logged and counted, and the others are still done. There is no heartbeat in such a round: what
    fails in every round makes the heartbeat old, and the probe ends a server that can no longer do its duties.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionTable,
        metrics: Metrics,
        heartbeat: Heartbeat,
        count_missing_workers: Callable[[], int] = lambda: 0,
        more_steps: Sequence[Callable[[float], None]] = (),
    ) -> None:
        """Take what is looked after; `more_steps` are called each round with the monotonic clock's seconds."""
        self._sessions = sessions
        self._metrics = metrics
        self._idle_timeout = settings.idle_timeout
        server_start = process_start(os.getppid())
        self._drain_order = DrainOrder(settings.drain_file, server_start)
        self._keep_order = KeepOrder(settings.drain_file, server_start)
        self._heartbeat = heartbeat
        self._count_missing_workers = count_missing_workers
        self._missing_workers = 0
        self._steps: tuple[Callable[[float], None], ...] = (
            self._heed_drain_order,
            self._heed_keep_order,
            SharedMemory(metrics).look,
            self._reap_all,
            self._note_missing_workers,
            self._flush_metrics,
            *more_steps,
        )
        self._next_flush = 0.0
        self._failing: set[Callable[[float], None]] = set()
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin."""
        SupervisedThread(self._run, "reap-sessions").start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(_SECONDS):
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Do one round; `now` is in seconds of the monotonic clock."""
        if all([self._succeeds(step, now) for step in self._steps]):
            self._succeeds(self._heartbeat.beat, now)

    def _succeeds(self, step: Callable[[float], None], now: float) -> bool:
        try:
            step(now)
        except Exception:  # noqa: BLE001 - the other steps and the next round still need this thread
            self._metrics.add("segtriton_housekeeping_failures_total")
            if step not in self._failing:  # ten times a second the same words are enough once
                _LOG.exception("a step of the housekeeping failed")
            self._failing.add(step)
            return False
        self._failing.discard(step)
        return True

    def _reap_all(self, now: float) -> None:
        for session in self._sessions.all():
            try:
                self._reap(session, now)
            except Exception:  # noqa: BLE001 - it is one session's failure; the others still need the reaper
                _LOG.exception("a session could not be looked after")
                with contextlib.suppress(Exception):
                    session.fail_with(internal_error())

    def _reap(self, session: Session, now: float) -> None:
        if session.is_cancelled(now):
            session.fail(ErrorCode.CANCELLED, "The client is gone.")
        elif session.is_idle(now, self._idle_timeout):
            session.fail(ErrorCode.IDLE_TIMEOUT, "Nothing came or went for too long.")

    def _note_missing_workers(self, now: float) -> None:
        count = self._count_missing_workers()
        if count != self._missing_workers:
            self._metrics.set("segtriton_workers_missing", count)
            self._missing_workers = count

    def _flush_metrics(self, now: float) -> None:
        if now < self._next_flush:
            self._metrics.flush_counters()
        else:
            self._next_flush = now + _HISTOGRAM_SECONDS
            self._metrics.flush()

    def _heed_drain_order(self, now: float) -> None:
        order = self._drain_order.read()
        if order.drains != self._sessions.is_draining:
            self._sessions.is_draining = order.drains
            self._metrics.set("segtriton_draining", order.drains)
            _LOG.warning("the server %s new sessions", "takes no" if order.drains else "takes")
        if order.migrates:
            for session in self._sessions.all():
                session.ask_to_migrate(order.within_seconds)

    def _heed_keep_order(self, now: float) -> None:
        keep = self._keep_order.read()
        most = keep.sessions if keep else None
        if most != self._sessions.most:
            self._sessions.most = most
            _LOG.warning("the server keeps %s sessions", "all" if most is None else most)
        if keep:
            self._sessions.ask_surplus_to_migrate(keep.seconds_left)
