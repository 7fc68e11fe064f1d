"""What runs inside a worker process: one network, one batcher, and the pipelines of its sessions."""

from __future__ import annotations

import gc
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence

from segtriton_protocol import SegtritonError
from segtriton_protocol.packets import PacketBlock
from segtriton_server.observability.logs import configure_logging
from segtriton_server.process_memory import give_memory_back, keep_freed_blocks, limit_arenas, limit_stacks
from segtriton_server.settings import Settings
from segtriton_server.vision.mirroring import add_mirrored
from segtriton_server.workers.accelerator import create_accelerator
from segtriton_server.workers.channel import AnyMessage, Channel, ChannelMessage, SessionPackets, SessionResults
from segtriton_server.workers.confinement import confine
from segtriton_server.workers.failures import judge_failure
from segtriton_server.workers.frame_batcher import FrameBatcher
from segtriton_server.workers.landlock import restrict_files
from segtriton_server.workers.network_job import NetworkJob
from segtriton_server.workers.results import Results, ResultSink
from segtriton_server.workers.router_messages import awaits_background, read_open, read_settings
from segtriton_server.workers.session_pipeline import SessionPipeline
from segtriton_server.workers.worker_messages import MAX_BATCHES, MAX_NOTES

_LOG = logging.getLogger(__name__)
_HEARTBEAT_SECONDS = 0.5
_MAX_FRAMES_OF_A_WRITE = 16
# The C library keeps what sessions have freed, hundreds of megabytes after a busy time. It is given back in the beats
# after their end, as their threads and codecs need a moment to go.
_TRIM_BEATS = 6


class WorkerProcess(ResultSink):
    """Serves the router until the channel closes."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        self._channel = channel
        self._settings = settings
        self._accelerator = create_accelerator(settings)
        self._batcher: FrameBatcher[NetworkJob] = FrameBatcher(settings.batch_size, settings.batch_deadline)
        self._pipelines: dict[str, SessionPipeline] = {}
        self._without_background: dict[str, ChannelMessage] = {}
        self._outbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # Stage times of frames whose results are not out yet, by session.
        self._waiting: dict[str, Results] = {}
        self._waiting_lock = threading.Lock()
        self._batches: deque[int] = deque(maxlen=MAX_BATCHES)
        self._batches_lock = threading.Lock()
        self._network_since: float | None = None
        self._opening_since: float | None = None
        self._closed_sessions = 0

    def run(self) -> None:
        """Handle messages; returns when the router has closed its end."""
        for loop in (self._write, self._run_network, self._beat):
            threading.Thread(target=loop, name=loop.__name__, daemon=True).start()
        self._send(ChannelMessage("ready", body=self._describe()))
        while True:
            try:
                message = self._channel.receive()
            except (EOFError, OSError):
                return
            self._handle(message)

    def _describe(self) -> dict[str, object]:
        segmenter = self._accelerator.segmenter
        return {
            "network": segmenter.name,
            "classes": list(segmenter.classes),
            "default_class": segmenter.default_class,
            "licence": segmenter.licence,
        }

    # ---------------------------------------------------------------- results of the pipelines

    def results(self, session_id: str, results: Results) -> None:
        """Send finished frames; bare stage times wait for the next ones."""
        if session_id not in self._pipelines:
            return  # closed while this was in the making
        is_bare = not (results.packets or results.skipped or results.drops or results.damaged)
        with self._waiting_lock:
            if is_bare:
                self._waiting.setdefault(session_id, Results()).add_stages(results.stages)
                return
            waiting = self._waiting.pop(session_id, None)
        if waiting is not None:
            results.add_stages(waiting.stages)
        block = PacketBlock.pack(results.packets)
        self._send(SessionResults(session_id, block, results.drops, results.skipped, results.damaged, results.stages))

    def ended(self, session_id: str, notes: Sequence[str], frames_without_class: int | None) -> None:
        """See `ResultSink`."""
        body = {"notes": list(notes[:MAX_NOTES]), "frames_without_class": frames_without_class}
        self._send_with_batches("ended", session_id, **body)

    def failed(self, session_id: str, error: SegtritonError) -> None:
        """Say that the session cannot go on."""
        self._send(ChannelMessage("failed", session_id, error.to_json()))

    def lost(self) -> None:
        """End the process at once: the router replaces it and tells its sessions."""
        _LOG.critical("the accelerator is lost, and this worker with it")
        os._exit(1)

    def _send_with_batches(self, kind: str, session_id: str, **body: object) -> None:
        """Send a message with the sizes of the batches since the last one."""
        with self._batches_lock:
            batches, self._batches = self._batches, deque(maxlen=MAX_BATCHES)
        self._send(ChannelMessage(kind, session_id, {**body, "batches": list(batches)}))

    def _send(self, message: ChannelMessage | SessionResults) -> None:
        self._outbox.put(message.pack())

    # ---------------------------------------------------------------- messages of the router

    def _handle(self, message: AnyMessage) -> None:
        pipeline = self._pipelines.get(message.session_id)
        if isinstance(message, SessionPackets):
            if message.session_id in self._without_background:
                self._open(self._without_background.pop(message.session_id), message.block)
            elif pipeline is not None:
                pipeline.put(message.block.unpack())
        elif isinstance(message, ChannelMessage):
            if message.kind == "open" and awaits_background(message):
                self._without_background[message.session_id] = message
            elif message.kind == "open":
                self._open(message)
            elif pipeline is not None:
                self._direct(pipeline, message)

    def _direct(self, pipeline: SessionPipeline, message: ChannelMessage) -> None:
        if message.kind == "end":
            pipeline.end()
        elif message.kind == "pause":
            pipeline.pause(is_paused=message.body["is_paused"])
        elif message.kind == "close":
            del self._pipelines[message.session_id]
            self._closed_sessions += 1
            with self._waiting_lock:
                self._waiting.pop(message.session_id, None)
            pipeline.close()

    def _open(self, message: ChannelMessage, background: PacketBlock | None = None) -> None:
        self._opening_since = time.monotonic()
        try:
            pipeline = SessionPipeline(
                message.session_id,
                read_open(message, background),
                self._settings,
                self._accelerator,
                self._batcher,
                self,
                message.body["num_frame_threads"],
            )
            # Once the stages run, one that fails at once closes what is described here.
            described = pipeline.describe()
            pipeline.start()
        except Exception as error:  # noqa: BLE001 - a codec library may raise anything at a hostile header
            self.failed(message.session_id, judge_failure(error, "Opening the session", self._accelerator, self))
        else:
            self._pipelines[message.session_id] = pipeline
            self._send(ChannelMessage("opened", message.session_id, described))
        finally:
            self._opening_since = None

    # ---------------------------------------------------------------- threads

    def _write(self) -> None:
        while True:
            frames = [self._outbox.get()]
            # Those that wait go together: each write wakes the router.
            frames += [self._outbox.get() for _ in range(min(self._outbox.qsize(), _MAX_FRAMES_OF_A_WRITE))]
            try:
                self._channel.send(*frames)
            except OSError:
                return

    def _run_network(self) -> None:
        while batch := self._batcher.next_batch():
            self._network_since = time.monotonic()
            try:
                self._run_batch(batch)
            except Exception as error:  # noqa: BLE001 - the batch's sessions are told, the others go on
                _LOG.exception("the network failed")
                reason = judge_failure(error, "The network", self._accelerator, self)
                for session_id in {job.session_id for job in batch}:
                    self.failed(session_id, reason)
            finally:
                self._network_since = None

    def _run_batch(self, batch: list[NetworkJob]) -> None:
        started = time.monotonic()
        asking = [job for job in batch if job.num_network_frames]
        if asking:
            inputs, classes = [job.network_input for job in asking], [job.class_ids for job in asking]
            orientations, states = [job.orientation for job in asking], [job.state for job in asking]
            segmenter, with_memory = self._accelerator.segmenter, self._accelerator.with_memory
            masks = with_memory(lambda: segmenter.segment(inputs, classes, orientations, states))
            mirroring = [at for at, job in enumerate(asking) if job.is_mirrored]
            add_mirrored(segmenter, mirroring, inputs, classes, orientations, masks)
            seconds, num_frames = time.monotonic() - started, sum(job.num_network_frames for job in asking)
            for job, job_masks in zip(asking, masks, strict=True):
                job.masks = job_masks
                results = Results()
                results.add_time("network", seconds * len(job.group) / num_frames, len(job.group))
                self.results(job.session_id, results)
            with self._batches_lock:
                self._batches.append(num_frames)
        for job in batch:
            job.deliver(job)

    def _beat(self) -> None:
        closed_before = 0
        beats_to_trim = 0
        while True:
            if closed_before != self._closed_sessions:
                closed_before = self._closed_sessions
                beats_to_trim = _TRIM_BEATS
            if beats_to_trim:
                beats_to_trim -= 1
                if not self._pipelines:
                    gc.collect()  # it stops all threads, so not while others have sessions here
                    self._accelerator.give_memory_back()
                give_memory_back()
            now = time.monotonic()
            busy = [pipeline.busy_seconds(now) for pipeline in list(self._pipelines.values())]
            busy += [now - since for since in (self._network_since, self._opening_since) if since is not None]
            self._send_with_batches("beat", "", busy_seconds=max(busy, default=0.0))
            time.sleep(_HEARTBEAT_SECONDS)


def _give_up(failure: threading.ExceptHookArgs) -> None:
    """End the process with the thread that failed: what waits for it would wait for ever."""
    threading.__excepthook__(failure)
    os._exit(1)


def main() -> None:
    """Start a worker on the socket and with the settings that the arguments name."""
    descriptor, settings = int(sys.argv[1]), read_settings(sys.argv[2])
    configure_logging(settings)
    threading.excepthook = _give_up
    limit_arenas()
    limit_stacks()
    keep_freed_blocks()
    _LOG.debug("files restricted: %s", restrict_files(settings))
    # A network's file is read in confinement. On a GPU kernels are compiled and devices opened before, which it ends.
    channel = Channel(socket.socket(fileno=descriptor))
    confined = confine(settings) if settings.accelerator == "cpu" else ""
    worker = WorkerProcess(channel, settings)
    _LOG.debug("confined: %s", confined or confine(settings))
    try:
        worker.run()
    except Exception:  # noqa: BLE001 - daemon threads would keep a process that is of no use any more
        _LOG.critical("the messages of the router could not be handled", exc_info=True)
        os._exit(1)
    # Stages may sit in a codec's call: nothing here is worth waiting for.
    os._exit(0)


if __name__ == "__main__":
    main()
