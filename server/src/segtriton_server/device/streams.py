"""CUDA streams that are used again."""

from __future__ import annotations

import weakref
from collections import deque

import torch


class StreamPool:
    """Lends streams; any thread may call.

    torch's allocator keeps freed memory for the stream that it was taken on. Were each session given a new stream, the
    memory kept would grow until all of the thirty-two that torch has were served.
    """

    def __init__(self) -> None:
        """Begin without streams."""
        # No lock: a finalizer may run in the middle of `lend`, and would wait for its own thread.
        self._idle: deque[torch.cuda.Stream] = deque()

    def lend(self) -> torch.cuda.Stream:
        """Take the stream that was given back last, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return torch.cuda.Stream()

    def give_back_with(self, owner: object, stream: torch.cuda.Stream) -> None:
        """Take a stream back when its owner is gone."""
        weakref.finalize(owner, self._idle.append, stream)
