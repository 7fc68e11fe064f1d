"""Sends frames to a worker without ever blocking who has one to send."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress

from segtriton_server.workers.channel import Channel


class FrameSender:
    """Frames go out at once, by the thread that has them, as long as the worker takes them; the others wait for `run`.

    A thread that only passed them on would cost a change of threads for each. Any thread may call `send` and `close`.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._has_waiting = threading.Condition(self._lock)
        self._waiting: deque[bytes] = deque()
        self._closed = False

    def send(self, frame: bytes) -> None:
        """Send a frame after those before it; nothing happens once the worker is gone, or after `close`."""
        with self._lock:
            if self._closed:
                return
            if not self._waiting:
                try:
                    sent = self._channel.try_send(frame)
                except OSError:
                    return
                if sent == len(frame):
                    return
                frame = frame[sent:]
            self._waiting.append(frame)
            self._has_waiting.notify()

    def close(self) -> None:
        """Take no further frame: `run` ends when those that wait are sent, and the worker sees the end then."""
        with self._lock:
            self._closed = True
            self._has_waiting.notify()

    def run(self) -> None:
        """Send what waits, until `close`."""
        with suppress(OSError):
            while (frame := self._next()) is not None:
                self._channel.send(frame)
                with self._lock:
                    self._waiting.popleft()
            self._channel.shut_down()

    def _next(self) -> bytes | None:
        with self._lock:
            while not self._waiting and not self._closed:
                self._has_waiting.wait()
            return self._waiting[0] if self._waiting else None
