"""CUDA streams that are used again."""

from __future__ import annotations

import threading
import weakref

import torch


class StreamPool:
    """Lends streams; any thread may call.

    torch's allocator keeps freed memory for the stream that it was taken on. Were each session given a new stream, the
    memory kept would grow until all of the thirty-two that torch has were served.
    """

    def __init__(self) -> None:
        """Begin without streams."""
        self._lock = threading.Lock()
        self._idle: list[torch.cuda.Stream] = []

    def lend(self) -> torch.cuda.Stream:
        """Take the stream that was given back last, or a new one."""
        with self._lock:
            return self._idle.pop() if self._idle else torch.cuda.Stream()

    def give_back_with(self, owner: object, stream: torch.cuda.Stream) -> None:
        """Take a stream back when its owner is gone."""
        weakref.finalize(owner, self._give_back, stream)

    def _give_back(self, stream: torch.cuda.Stream) -> None:
        with self._lock:
            self._idle.append(stream)
