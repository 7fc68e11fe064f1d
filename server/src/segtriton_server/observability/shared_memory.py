"""How full shared memory is; Triton and its models fail in odd ways when it is."""

import os

from segtriton_server.observability.metrics import Metrics

_FOLDER = "/dev/shm"
_SECONDS = 5.0


class SharedMemory:
    """Keeps the two gauges of shared memory up to date, whoever uses it."""

    def __init__(self, metrics: Metrics, folder: str = _FOLDER) -> None:
        """Take where the gauges are."""
        self._metrics = metrics
        self._folder = folder
        self._next = 0.0

    def look(self, now: float) -> None:
        """Set the gauges, every few seconds; `now` is in seconds of a steady clock."""
        if now < self._next:
            return
        self._next = now + _SECONDS
        space = os.statvfs(self._folder)
        self._metrics.set("segtriton_shared_memory_bytes", space.f_blocks * space.f_frsize)
        self._metrics.set("segtriton_shared_memory_used_bytes", (space.f_blocks - space.f_bfree) * space.f_frsize)
