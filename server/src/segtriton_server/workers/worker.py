"""The router's handle on one worker process."""

from __future__ import annotations

import logging
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection

from segtriton_protocol import SegtritonError
from segtriton_server.settings import Settings
from segtriton_server.supervised_thread import SupervisedThread
from segtriton_server.workers.channel import Channel, ChannelMessage
from segtriton_server.workers.environment import worker_environment
from segtriton_server.workers.message_budget import MessageBudget
from segtriton_server.workers.router_messages import settings_argument
from segtriton_server.workers.worker_messages import check_message

_LOG = logging.getLogger(__name__)
_GRACE_SECONDS = 2.0
_MIN_MESSAGE_BYTES = 64 << 20


class Worker:
    """A started worker process with its reader and writer threads.

    `send` never blocks, whatever the process does. `on_message` and, once, `on_death` are
    called from the reader thread. A thread that fails ends the process.

    Attributes:
        has_hung: whether it was killed because it hung.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        on_message: Callable[[Worker, ChannelMessage], None],
        on_death: Callable[[Worker], None],
    ) -> None:
        self.started = time.monotonic()
        self.last_beat = self.started
        self.busy_seconds = 0.0
        self.ready = threading.Event()
        self.dead = threading.Event()
        self.has_hung = False
        self._unanswered_opens: dict[str, float] = {}
        self._last_open_answered = self.started
        self._on_message = on_message
        self._on_death = on_death
        self._outbox: queue.SimpleQueue[ChannelMessage | None] = queue.SimpleQueue()
        self._budget = MessageBudget()
        ours, theirs = socket.socketpair()
        self._channel = Channel(Connection(ours.detach()), max_bytes=_max_message_bytes(settings))
        with ExitStack() as on_failure, theirs:
            on_failure.callback(self._channel.close)
            self._process = subprocess.Popen(
                [
                    settings.worker_python,
                    "-m",
                    "segtriton_server.workers.worker_process",
                    str(theirs.fileno()),
                    settings_argument(settings),
                ],
                pass_fds=[theirs.fileno()],
                env={**worker_environment(os.environ), **environment},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            on_failure.callback(self.close)
            for name, loop in (("write", self._write), ("read", self._read)):
                SupervisedThread(loop, f"{name}-{self.pid}", self.kill).start()
            on_failure.pop_all()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: ChannelMessage) -> None:
        """Queue a message."""
        if message.kind == "open":
            self._unanswered_opens[message.session_id] = time.monotonic()
        self._outbox.put(message)

    def seconds_without_progress(self, now: float) -> float:
        """How long the process has been silent, busy with one call, or has left an OPEN unanswered."""
        oldest_open = min(list(self._unanswered_opens.values()), default=now)
        return max(now - self.last_beat, self.busy_seconds, now - max(oldest_open, self._last_open_answered))

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End the process at once; `on_death` follows, even if a driver's call keeps the process for a while."""
        self._process.kill()
        self._shut_down()

    def close(self) -> None:
        """Let the process end, and make sure of it."""
        self._outbox.put(None)
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        try:
            while (message := self._receive()) is not None:
                self._take(message)
        finally:
            # Whether the process died or wrote what cannot be read, it is of no use any more.
            self.dead.set()
            self._outbox.put(None)
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # one that sits in a driver's call stays for a while
                self._process.wait(_GRACE_SECONDS)
            self._on_death(self)

    def _receive(self) -> ChannelMessage | None:
        """Return the next message; None if there is none any more, or it is not one that a worker may write."""
        try:
            message = self._channel.receive()
            check_message(message)
            self._budget.spend()
        except (EOFError, OSError):
            return None
        except SegtritonError as error:
            _LOG.error("worker %d is ended for what it wrote: %s", self.pid, error.message)
            return None
        return message

    def _take(self, message: ChannelMessage) -> None:
        match message.kind:
            case "beat":
                self.last_beat = time.monotonic()
                self.busy_seconds = float(message.body["busy_seconds"])
            case "ready":
                self.last_beat = time.monotonic()
                self.ready.set()
            case kind:
                if kind in ("opened", "failed") and message.session_id in self._unanswered_opens:
                    del self._unanswered_opens[message.session_id]
                    self._last_open_answered = time.monotonic()
                self._on_message(self, message)

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                self._budget.earn(message)
                self._channel.send(message)
            except OSError:
                return
        self._shut_down()

    def _shut_down(self) -> None:
        # The reader sleeps in a read of the same descriptor: shutting the socket down wakes it.
        with suppress(OSError), socket.socket(fileno=os.dup(self._channel.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)


def _max_message_bytes(settings: Settings) -> int:
    """Return the most that one message of results has: a group of coded pictures, each far smaller than its samples."""
    return max(_MIN_MESSAGE_BYTES, settings.max_pixels * settings.group_size)
