"""Shows from outside that the router lives: a file that it touches, and a metric that Triton must take from it."""

from __future__ import annotations

import time
from pathlib import Path

from segtriton_server.observability.metrics import Metrics

_PERIOD_SECONDS = 1.0


class Heartbeat:
    """Beats as long as requests come to an end, and Triton takes metrics: `segtriton-probe` looks at the file's age.

    Triton itself calls a model ready whose process is dead or stands still, at least up to release 26.03.
    """

    def __init__(self, path: str, patience_seconds: float, metrics: Metrics) -> None:
        """Take the file, "" for none, and how long one request may take."""
        self._path = Path(path) if path else None
        self._patience_seconds = patience_seconds
        self._metrics = metrics
        self._handling_since: float | None = None
        self._last_beat = float("-inf")

    def begin_handling(self) -> None:
        """Note that the handling of one request begins."""
        self._handling_since = time.monotonic()

    def end_handling(self) -> None:
        """Note that it has come to an end."""
        self._handling_since = None

    def beat(self, now: float) -> None:
        """Beat, if it is time; `now` is the monotonic clock."""
        since = self._handling_since
        if now - self._last_beat < _PERIOD_SECONDS or (since is not None and now - since > self._patience_seconds):
            return
        self._metrics.set("segtriton_heartbeat_timestamp_seconds", time.time())
        if self._path is not None:
            self._path.touch()
        self._last_beat = now
