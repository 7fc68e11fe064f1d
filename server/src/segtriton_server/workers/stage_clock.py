"""How long a session's stages take, and how long those that still run have taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from segtriton_server.workers.results import Results


class StageClock:
    """Measures the calls of one session's stages; each stage is one thread's."""

    def __init__(self) -> None:
        self._busy_since: dict[str, float] = {}

    def busy_seconds(self, now: float) -> float:
        """How long the longest running call of a stage has taken so far."""
        return max((now - since for since in list(self._busy_since.values())), default=0.0)

    @contextmanager
    def timed(self, stage: str, results: Results, frames: int) -> Iterator[None]:
        """Measure one call of a stage for so many frames together."""
        started = self._busy_since[stage] = time.monotonic()
        try:
            yield
        finally:
            self._busy_since.pop(stage, None)
            results.add_time(stage, time.monotonic() - started, frames)
