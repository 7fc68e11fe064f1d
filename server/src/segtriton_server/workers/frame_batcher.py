"""Gathers frames of all sessions into batches for the network: fair between sessions, in order inside each."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Waiting(Generic[_Item]):
    item: _Item
    size: int
    since: float


class FrameBatcher(Generic[_Item]):
    """Queues one line a session and hands out batches, one item a line in turn.

    An item holds one frame or several, and a batch at most `batch_size` frames; only an item that is larger by itself
    makes a batch that is. A batch goes out when it is full, or when its oldest item has waited `deadline_seconds`.
    The lines are not bounded here: a session's frames in flight are.
    """

    def __init__(self, batch_size: int, deadline_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch_size = batch_size
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._lines: dict[str, deque[_Waiting[_Item]]] = {}
        self._condition = threading.Condition()
        self._closed = False

    def add(self, session_id: str, item: _Item, size: int = 1) -> None:
        """Put an item of `size` frames at the end of its session's line."""
        with self._condition:
            line = self._lines.setdefault(session_id, deque())
            line.append(_Waiting(item, size, self._clock()))
            self._condition.notify()

    def forget(self, session_id: str) -> None:
        """Remove a session with all its items."""
        with self._condition:
            self._lines.pop(session_id, None)

    def close(self) -> None:
        """Let `next_batch` return an empty batch from now on."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def next_batch(self) -> list[_Item]:
        """Wait for a batch; an empty one means that the batcher was closed."""
        with self._condition:
            while not self._closed:
                wait_seconds = self._seconds_until_due()
                if wait_seconds is not None and wait_seconds <= 0:
                    return self._take()
                self._condition.wait(wait_seconds)
            return []

    def _seconds_until_due(self) -> float | None:
        waiting = [line for line in self._lines.values() if line]
        if not waiting:
            return None
        if sum(entry.size for line in waiting for entry in line) >= self._batch_size:
            return 0.0
        return min(line[0].since for line in waiting) + self._deadline_seconds - self._clock()

    def _take(self) -> list[_Item]:
        batch: list[_Item] = []
        room = self._batch_size
        while (session_id := self._next_in_turn()) is not None:
            line = self._lines[session_id]
            if batch and line[0].size > room:
                break
            room -= line[0].size
            batch.append(line.popleft().item)
            # Whoever was served goes to the end of the round.
            self._lines[session_id] = self._lines.pop(session_id)
        return batch

    def _next_in_turn(self) -> str | None:
        return next((session_id for session_id, line in self._lines.items() if line), None)
