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
from multiprocessing.connection import Connection

from segtriton_protocol import SegtritonError
from segtriton_server.settings import Settings
from segtriton_server.workers.channel import Channel, ChannelMessage
from segtriton_server.workers.environment import worker_environment
from segtriton_server.workers.message_budget import MessageBudget
from segtriton_server.workers.worker_messages import check_message
from segtriton_server.workers.worker_process import settings_argument

_LOG = logging.getLogger(__name__)
_GRACE_SECONDS = 2.0
_MIN_MESSAGE_BYTES = 64 << 20


class Worker:
    """A started worker process with its reader and writer threads.

    `send` never blocks, whatever the process does. `on_message` and, once, `on_death` are
    called from the reader thread.
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
        self.environment = environment
        self._on_message = on_message
        self._on_death = on_death
        self._outbox: queue.SimpleQueue[ChannelMessage | None] = queue.SimpleQueue()
        self._budget = MessageBudget()
        ours, theirs = socket.socketpair()
        with theirs:
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
        self._channel = Channel(Connection(ours.detach()), max_bytes=_max_message_bytes(settings))
        for loop in (self._read, self._write):
            threading.Thread(target=loop, name=f"worker-{self.pid}-{loop.__name__}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: ChannelMessage) -> None:
        """Queue a message."""
        self._outbox.put(message)

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End the process at once; `on_death` follows."""
        self._process.kill()

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
            while True:
                message = self._receive()
                if message is None:
                    return
                if message.kind == "beat":
                    self.last_beat = time.monotonic()
                    self.busy_seconds = float(message.body["busy_seconds"])
                elif message.kind == "ready":
                    self.last_beat = time.monotonic()
                    self.ready.set()
                else:
                    self._on_message(self, message)
        except (EOFError, OSError):
            pass
        finally:
            # Whether the process died or wrote what cannot be read, it is of no use any more.
            self.dead.set()
            self._outbox.put(None)
            self._process.kill()
            self._process.wait()
            self._on_death(self)

    def _receive(self) -> ChannelMessage | None:
        """Return the next message, None if it is not one that a worker may write; what follows is not read."""
        try:
            message = self._channel.receive()
            check_message(message)
            self._budget.spend()
        except SegtritonError as error:
            _LOG.error("worker %d is ended for what it wrote: %s", self.pid, error.message)
            return None
        return message

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
        with socket.socket(fileno=os.dup(self._channel.fileno())) as connection:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


def _max_message_bytes(settings: Settings) -> int:
    """Return the most that one message of results has: a group of coded pictures, each far smaller than its samples."""
    return max(_MIN_MESSAGE_BYTES, settings.max_pixels * settings.group_size)
