"""Keeps the wanted number of workers alive and spreads sessions over them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from segtriton_protocol import ErrorCode, Open, Packet, SegtritonError
from segtriton_server.settings import Settings
from segtriton_server.workers.channel import ChannelMessage
from segtriton_server.workers.mps import is_shared_by_mps, start_mps
from segtriton_server.workers.placement import place_workers
from segtriton_server.workers.process_usage import find_excess, read_usage
from segtriton_server.workers.worker import Worker
from segtriton_server.workers.worker_process import open_message

_LOG = logging.getLogger(__name__)
_FASTEST_RESTART_SECONDS = 1.0
_WATCH_SECONDS = 0.5


class WorkerPool:
    """Workers by session. Dead and hung workers are replaced. Raises NoDeviceError where a GPU is wanted and missing.

    Args:
        settings: the server's settings.
        on_message: called with a session's message, from the reader thread of its worker.
        on_lost: called with the id of each session whose worker died, and whether it hung.
        on_restart: called when a worker is replaced.
    """

    def __init__(
        self,
        settings: Settings,
        on_message: Callable[[ChannelMessage], None],
        on_lost: Callable[[str, bool], None],
        on_restart: Callable[[], None],
    ) -> None:
        self._mps = start_mps(settings)
        self._settings, environments = place_workers(settings, side_by_side=is_shared_by_mps(self._mps))
        shared = self._mps.environment if self._mps else {}
        self._environments = [{**environment, **shared} for environment in environments]
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_restart = on_restart
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._workers: list[Worker] = []
        self._hung: set[Worker] = set()
        self._worker_by_session: dict[str, Worker] = {}

    def start(self) -> None:
        """Start the workers and wait until all are ready.

        Raises:
            RuntimeError: a worker died or took longer than the setting start_timeout.
        """
        self._workers = [self._start_worker(environment) for environment in self._environments]
        deadline = time.monotonic() + self._settings.start_timeout
        for worker in list(self._workers):
            while not worker.ready.wait(_WATCH_SECONDS):
                if worker.dead.is_set() or time.monotonic() > deadline:
                    self.close()
                    raise RuntimeError(f"worker {worker.pid} did not become ready; its log lines say why")
        threading.Thread(target=self._watch, name="watch-workers", daemon=True).start()

    def close(self) -> None:
        """End all workers."""
        self._closed.set()
        for worker in list(self._workers):
            worker.close()
        if self._mps is not None:
            self._mps.close()
            self._mps = None

    def open(self, session_id: str, request: Open) -> None:
        """Give a session to the worker with the fewest; raises WORKER_LOST if none is ready."""
        with self._lock:
            ready = [worker for worker in self._workers if worker.ready.is_set() and not worker.dead.is_set()]
            if not ready:
                raise SegtritonError(
                    ErrorCode.WORKER_LOST, "No worker is ready at the moment.", retry_after_seconds=1.0
                )
            load = list(self._worker_by_session.values())
            worker = min(ready, key=load.count)
            self._worker_by_session[session_id] = worker
        worker.send(open_message(session_id, request))

    def put(self, session_id: str, packets: list[Packet]) -> None:
        """Pass packets on to a session's worker."""
        self._send(ChannelMessage("packets", session_id, packets=packets))

    def end(self, session_id: str) -> None:
        """Tell a session's worker that nothing follows."""
        self._send(ChannelMessage("end", session_id))

    def release(self, session_id: str) -> None:
        """Let a session's worker free what the session holds."""
        self._send(ChannelMessage("close", session_id))
        with self._lock:
            self._worker_by_session.pop(session_id, None)

    def worker_pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.pid for worker in self._workers]

    def _send(self, message: ChannelMessage) -> None:
        worker = self._worker_by_session.get(message.session_id)
        if worker is not None:
            worker.send(message)

    def _start_worker(self, environment: Mapping[str, str]) -> Worker:
        return Worker(self._settings, environment, self._receive, self._replace)

    def _receive(self, worker: Worker, message: ChannelMessage) -> None:
        """Pass on what a worker says of its own sessions; what it says of one that has closed is late."""
        owner = self._worker_by_session.get(message.session_id)
        if message.session_id == "" or owner is worker:
            self._on_message(message)
        elif owner is not None:
            _LOG.error("worker %d is ended, as it answers for a session of worker %d", worker.pid, owner.pid)
            worker.kill()

    def _replace(self, dead: Worker) -> None:
        if self._closed.is_set():
            return
        with self._lock:
            if dead not in self._workers:
                return
            lost = [session_id for session_id, worker in self._worker_by_session.items() if worker is dead]
            for session_id in lost:
                del self._worker_by_session[session_id]
            hung = dead in self._hung
            self._hung.discard(dead)
        _LOG.error("worker %d ended (status %s) with %d sessions", dead.pid, dead.returncode, len(lost))
        for session_id in lost:
            self._on_lost(session_id, hung)
        # One that dies at once must not be started over and over without a pause.
        self._closed.wait(max(0.0, dead.started + _FASTEST_RESTART_SECONDS - time.monotonic()))
        if self._closed.is_set():
            return
        with self._lock:
            self._workers[self._workers.index(dead)] = self._start_worker(dead.environment)
        self._on_restart()

    def _watch(self) -> None:
        deadline = self._settings.stage_deadline
        while not self._closed.wait(_WATCH_SECONDS):
            now = time.monotonic()
            for worker in list(self._workers):
                self._end_if_excessive(worker)
                silent_seconds = now - worker.last_beat
                if worker.ready.is_set() and max(silent_seconds, worker.busy_seconds) > deadline:
                    _LOG.error(
                        "worker %d hangs: silent %.1f s, busy %.1f s", worker.pid, silent_seconds, worker.busy_seconds
                    )
                    self._hung.add(worker)
                    worker.kill()

    def _end_if_excessive(self, worker: Worker) -> None:
        usage = read_usage(worker.pid)
        if usage is not None and (excess := find_excess(usage, self._settings)):
            _LOG.error("worker %d is ended, as it has %s", worker.pid, excess)
            worker.kill()
