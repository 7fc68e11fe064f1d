"""Keeps the wanted number of workers alive and spreads sessions over them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from segtriton_protocol import ErrorCode, Open, SegtritonError
from segtriton_protocol.packets import PacketBlock
from segtriton_server.memory_plan import plan_memory
from segtriton_server.settings import Settings
from segtriton_server.supervised_thread import SupervisedThread
from segtriton_server.workers.channel import ChannelMessage, SessionPackets, SessionResults
from segtriton_server.workers.frame_threads import choose_frame_threads
from segtriton_server.workers.mps import is_shared_by_mps, start_mps
from segtriton_server.workers.placement import place_workers
from segtriton_server.workers.process_usage import find_excess, read_usage
from segtriton_server.workers.router_messages import open_message
from segtriton_server.workers.session_memory import SessionMemory
from segtriton_server.workers.worker import Worker

_LOG = logging.getLogger(__name__)
_MIN_RESTART_SECONDS = 1.0
_MAX_RESTART_SECONDS = 30.0
_WATCH_SECONDS = 0.5


@dataclass(slots=True)
class _Place:
    """Where one worker runs; `failures` counts the starts in a row after which none became ready."""

    environment: Mapping[str, str]
    worker: Worker | None = None
    failures: int = 0
    next_start: float = 0.0

    @property
    def ready_worker(self) -> Worker | None:
        worker = self.worker
        return worker if worker and worker.ready.is_set() and not worker.dead.is_set() else None

    def vacate(self, now: float) -> None:
        """Take a dead worker out. One that dies at once must not be started over and over without a pause."""
        if self.worker is not None and self.worker.ready.is_set():
            self.failures, since = 0, self.worker.started
        else:
            self.failures, since = self.failures + 1, now
        self.worker, self.next_start = None, since + restart_pause(self.failures)


class WorkerPool:
    """Workers by session. Dead and hung workers are replaced. Raises NoDeviceError where a GPU is wanted and missing.

    A worker that cannot be started, or dies before it is ready, is tried again after growing pauses until it works.

    Args:
        settings: the server's settings.
        on_message: called with a session's message, from the reader thread of its worker.
        on_lost: called with the id of each session whose worker died, and whether it hung.
        on_restart: called when a worker is replaced.
    """

    def __init__(
        self,
        settings: Settings,
        on_message: Callable[[ChannelMessage | SessionResults], None],
        on_lost: Callable[[str, bool], None],
        on_restart: Callable[[], None],
    ) -> None:
        self._mps = start_mps(settings)
        self._settings, environments = place_workers(settings, side_by_side=is_shared_by_mps(self._mps))
        shared = self._mps.environment if self._mps else {}
        self._places = [_Place({**environment, **shared}) for environment in environments]
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_restart = on_restart
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._wakes = threading.Event()
        self._worker_by_session: dict[str, Worker] = {}
        self._memory = SessionMemory(plan_memory(self._settings, len(environments)), self._settings.background_bytes)

    def start(self) -> None:
        """Start the workers and wait until all are ready.

        Raises:
            RuntimeError: a worker died or took longer than the setting start_timeout.
        """
        for place in self._places:
            place.worker = self._start_worker(place.environment)
        deadline = time.monotonic() + self._settings.start_timeout
        for worker in self._workers:
            while not worker.ready.wait(_WATCH_SECONDS):
                if worker.dead.is_set() or time.monotonic() > deadline:
                    self.close()
                    raise RuntimeError(f"worker {worker.pid} did not become ready; its log lines say why")
        SupervisedThread(self._watch, "watch-workers").start()

    def close(self) -> None:
        """End all workers."""
        with self._lock:  # none is started any more
            self._closed.set()
        self._wakes.set()
        for worker in self._workers:
            worker.close()
        if self._mps is not None:
            self._mps.close()
            self._mps = None

    def open(self, session_id: str, request: Open) -> None:
        """Give a session to the worker with the fewest of those whose memory holds it.

        Raises:
            SegtritonError: WORKER_LOST if none is ready, RESOURCE_EXHAUSTED if others take the memory, or
                LIMIT_EXCEEDED if it is too small for this session at any time, or the background too large.
        """
        needed = self._memory.needed_bytes(request)
        with self._lock:
            ready = [worker for place in self._places if (worker := place.ready_worker)]
            if not ready:
                raise SegtritonError(
                    ErrorCode.WORKER_LOST, "No worker is ready at the moment.", retry_after_seconds=1.0
                )
            load = list(self._worker_by_session.values())
            worker = min(self._memory.choose(ready, needed), key=load.count)
            wanted = choose_frame_threads(request, self._settings, len(load))
            frame_threads = self._memory.take(session_id, worker, request, wanted)
            self._worker_by_session[session_id] = worker
        worker.send(open_message(session_id, request, frame_threads))
        if request.background is not None:
            worker.send(SessionPackets(session_id, request.background.block))

    def put(self, session_id: str, block: PacketBlock) -> None:
        """Pass packets on to a session's worker."""
        self._send(SessionPackets(session_id, block))

    def end(self, session_id: str) -> None:
        """Tell a session's worker that nothing follows."""
        self._send(ChannelMessage("end", session_id))

    def pause(self, session_id: str, is_paused: bool) -> None:
        """Let a session's worker wait with its next output, or go on."""
        self._send(ChannelMessage("pause", session_id, {"is_paused": is_paused}))

    def release(self, session_id: str) -> None:
        """Let a session's worker free what the session holds."""
        self._send(ChannelMessage("close", session_id))
        with self._lock:
            self._worker_by_session.pop(session_id, None)
            self._memory.give_back(session_id)

    def count_missing(self) -> int:
        """How many workers should run and are not ready."""
        return sum(place.ready_worker is None for place in self._places)

    def describe(self) -> Mapping[str, Any]:
        """What a ready worker says of its network, see `Worker`; empty while none is ready."""
        ready = (worker for place in self._places if (worker := place.ready_worker))
        return next((worker.description for worker in ready), {})

    def worker_pids(self) -> list[int]:
        """The process ids of the workers."""
        return [worker.pid for worker in self._workers]

    @property
    def _workers(self) -> list[Worker]:
        return [place.worker for place in self._places if place.worker is not None]

    def _send(self, message: ChannelMessage | SessionPackets) -> None:
        worker = self._worker_by_session.get(message.session_id)
        if worker is not None:
            worker.send(message)

    def _start_worker(self, environment: Mapping[str, str]) -> Worker:
        return Worker(self._settings, environment, self._receive, self._on_death)

    def _receive(self, worker: Worker, message: ChannelMessage | SessionResults) -> None:
        """Pass on what a worker says of its own sessions; what it says of one that has closed is late."""
        owner = self._worker_by_session.get(message.session_id)
        if message.session_id == "" or owner is worker:
            self._on_message(message)
        elif owner is not None:
            _LOG.error("worker %d is ended, as it answers for a session of worker %d", worker.pid, owner.pid)
            worker.kill()

    def _on_death(self, dead: Worker) -> None:
        if self._closed.is_set():
            return
        with self._lock:
            lost = [session_id for session_id, worker in self._worker_by_session.items() if worker is dead]
            for session_id in lost:
                del self._worker_by_session[session_id]
        self._wakes.set()
        _LOG.error("worker %d ended (status %s) with %d sessions", dead.pid, dead.returncode, len(lost))
        for session_id in lost:
            try:
                self._on_lost(session_id, dead.has_hung)
            except Exception:  # noqa: BLE001 - the other sessions of this worker must be told, too
                _LOG.exception("a session could not be told that its worker is lost")

    def _watch(self) -> None:
        while not self._closed.is_set():
            now = time.monotonic()
            for place in self._places:
                self._check(place, now)
            self._wakes.wait(_WATCH_SECONDS)
            self._wakes.clear()

    def _check(self, place: _Place, now: float) -> None:
        if place.worker is not None and place.worker.dead.is_set():
            place.vacate(now)
        worker = place.worker
        if worker is None:
            if now >= place.next_start:
                self._restart(place, now)
        elif excess := _find_excess(worker, self._settings):
            _LOG.error("worker %d is ended, as it has %s", worker.pid, excess)
            worker.kill()
        elif not worker.ready.is_set():
            if now - worker.started > self._settings.start_timeout:
                _LOG.error("worker %d is not ready after %.0f s", worker.pid, self._settings.start_timeout)
                worker.kill()
        elif (seconds := worker.seconds_without_progress(now)) > self._settings.stage_deadline:
            _LOG.error("worker %d hangs: no progress for %.1f s", worker.pid, seconds)
            worker.has_hung = True
            worker.kill()

    def _restart(self, place: _Place, now: float) -> None:
        try:
            with self._lock:
                if self._closed.is_set():
                    return
                place.worker = self._start_worker(place.environment)
        except Exception as error:  # noqa: BLE001 - what a start lacks, files or memory, may be there again later
            place.vacate(now)
            _LOG.error("a worker does not start (%s): tried again in %.0f s", error, place.next_start - now)
        else:
            self._on_restart()


def restart_pause(failures: int) -> float:
    """Seconds between two starts of a worker, after so many in a row that failed."""
    return min(_MIN_RESTART_SECONDS * 2.0 ** min(failures, 10), _MAX_RESTART_SECONDS)


def _find_excess(worker: Worker, settings: Settings) -> str:
    usage = read_usage(worker.pid)
    return find_excess(usage, settings) if usage is not None else ""
