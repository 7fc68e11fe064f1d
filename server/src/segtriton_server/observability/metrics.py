"""The metrics that appear beside Triton's own on :8002.

Names, help and labels stand here once. A `MetricFamily` must outlive its metrics, so both are kept.
"""

import threading
from typing import Any

_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
_BATCH = [1, 2, 4, 8, 16, 32, 64]

COUNTER, GAUGE, HISTOGRAM = "COUNTER", "GAUGE", "HISTOGRAM"

_FAMILIES: dict[str, tuple[str, str, list[float] | None]] = {
    "segtriton_active_streams": (GAUGE, "Sessions that are open.", None),
    "segtriton_stream_slots": (GAUGE, "Sessions that this server takes at once.", None),
    "segtriton_stream_load": (GAUGE, "Open sessions divided by slots.", None),
    "segtriton_streams_opened_total": (COUNTER, "Sessions opened.", None),
    "segtriton_streams_rejected_total": (COUNTER, "Sessions refused at OPEN, by reason.", None),
    "segtriton_sessions_failed_total": (COUNTER, "Open sessions that ended with an error, by code.", None),
    "segtriton_frames_total": (COUNTER, "Frames ended, by outcome: out, or the reason of the drop.", None),
    "segtriton_frame_latency_seconds": (HISTOGRAM, "From a packet's arrival to the sending of its frame.", _SECONDS),
    "segtriton_stage_duration_seconds": (HISTOGRAM, "Time of one frame in one stage.", _SECONDS),
    "segtriton_batch_frames": (HISTOGRAM, "Frames of one network call.", [float(size) for size in _BATCH]),
    "segtriton_worker_restarts_total": (COUNTER, "Workers replaced after a crash or a hang.", None),
    "segtriton_network_warnings": (GAUGE, "Warnings of the network in use, set when a session is opened.", None),
    "segtriton_draining": (GAUGE, "1 while the server takes no new session.", None),
}


class Metrics:
    """The server's metrics, made by Triton's `MetricFamily` class, which the model hands in."""

    def __init__(self, metric_family: Any) -> None:
        self._families = {
            name: metric_family(name=name, description=text, kind=getattr(metric_family, kind))
            for name, (kind, text, _) in _FAMILIES.items()
        }
        self._metrics: dict[tuple[str, str], Any] = {}
        # Two metrics changed at once by two threads end Triton with a broken heap.
        self._lock = threading.Lock()
        for name, (kind, _, _) in _FAMILIES.items():
            if kind == GAUGE:
                self._metric(name, {})

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Increase a counter."""
        with self._lock:
            self._metric(name, labels).increment(amount)

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        with self._lock:
            self._metric(name, {}).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a histogram."""
        with self._lock:
            self._metric(name, labels).observe(value)

    def _metric(self, name: str, labels: dict[str, str]) -> Any:
        key = (name, repr(labels))
        metric = self._metrics.get(key)
        if metric is None:
            buckets = _FAMILIES[name][2]
            options = {} if buckets is None else {"buckets": buckets}
            metric = self._metrics[key] = self._families[name].Metric(labels=labels, **options)
        return metric
