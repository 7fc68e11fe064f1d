"""The router's handle on one worker process."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from segtriton_protocol import SegtritonError
from segtriton_server.settings import Settings
from segtriton_server.supervised_thread import SupervisedThread
from segtriton_server.workers.channel import Channel, ChannelMessage, SessionPackets, SessionResults
from segtriton_server.workers.environment import worker_environment
from segtriton_server.workers.frame_sender import FrameSender
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
        description: of its network, once it is ready: `network`, `classes`, `default_class` and `licence`.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        on_message: Callable[[Worker, ChannelMessage | SessionResults], None],
        on_death: Callable[[Worker], None],
    ) -> None:
        self.started = time.monotonic()
        self.last_beat = self.started
        self.busy_seconds = 0.0
        self.ready = threading.Event()
        self.dead = threading.Event()
        self.has_hung = False
        self.description: Mapping[str, Any] = {}
        self._unanswered_opens: dict[str, float] = {}
        self._last_open_answered = self.started
        self._on_message = on_message
        self._on_death = on_death
        self._budget = MessageBudget()
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours, max_bytes=_max_message_bytes(settings))
        self._sender = FrameSender(self._channel)
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
            self._writer = SupervisedThread(self._sender.run, f"write-{self.pid}", self.kill)
            self._writer.start()
            SupervisedThread(self._read, f"read-{self.pid}", self.kill).start()
            on_failure.pop_all()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: ChannelMessage | SessionPackets) -> None:
        """Send a message, or queue it where the process does not take it at once."""
        num_packets = 0
        if isinstance(message, SessionPackets):
            num_packets = len(message.block)
        elif message.kind == "open":
            self._unanswered_opens[message.session_id] = time.monotonic()
        self._budget.earn(num_packets)
        self._sender.send(message.pack())

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
        with suppress(OSError):
            self._channel.shut_down()

    def close(self) -> None:
        """Let the process end, and make sure of it."""
        self._sender.close()
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
            self._sender.close()
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # one that sits in a driver's call stays for a while
                self._process.wait(_GRACE_SECONDS)
            self._on_death(self)
            self._release()

    def _release(self) -> None:
        """Close the socket, once no thread can be in a call with it any more."""
        with suppress(OSError):
            self._channel.shut_down()
        self._writer.join()
        self._channel.close()

    def _receive(self) -> ChannelMessage | SessionResults | None:
        """Return the next message; None if there is none any more, or it is not one that a worker may write."""
        try:
            message = check_message(self._channel.receive())
            self._budget.spend()
        except (EOFError, OSError):
            return None
        except SegtritonError as error:
            _LOG.error("worker %d is ended for what it wrote: %s", self.pid, error.message)
            return None
        return message

    def _take(self, message: ChannelMessage | SessionResults) -> None:
        if isinstance(message, SessionResults):
            self._on_message(self, message)
            return
        match message.kind:
            case "beat":
                self.last_beat = time.monotonic()
                self.busy_seconds = float(message.body["busy_seconds"])
                self._on_message(self, message)
            case "ready":
                self.last_beat = time.monotonic()
                self.description = message.body
                self.ready.set()
            case kind:
                if kind in ("opened", "failed") and message.session_id in self._unanswered_opens:
                    del self._unanswered_opens[message.session_id]
                    self._last_open_answered = time.monotonic()
                self._on_message(self, message)


def _max_message_bytes(settings: Settings) -> int:
    """Return the most that one message of results has: a group of coded pictures, each far smaller than its samples."""
    return max(_MIN_MESSAGE_BYTES, settings.max_pixels * settings.group_size)
