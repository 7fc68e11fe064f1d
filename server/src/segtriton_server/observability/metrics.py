"""The metrics that appear beside Triton's own on :8002.

Names, help and labels stand here once. A `MetricFamily` must outlive its metrics, so both are kept.
"""

import threading
from collections.abc import Callable
from typing import Any

_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
_BATCH = [1, 2, 4, 8, 16, 32, 64]

# Of one histogram with one set of labels, at each flush.
MOST_OBSERVATIONS = 50

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
    "segtriton_stage_duration_seconds": (
        HISTOGRAM,
        "Time of a frame in one stage; of frames that went together, their mean.",
        _SECONDS,
    ),
    "segtriton_batch_frames": (HISTOGRAM, "Frames of one network call.", [float(size) for size in _BATCH]),
    "segtriton_worker_restarts_total": (COUNTER, "Workers replaced after a crash or a hang.", None),
    "segtriton_workers_missing": (GAUGE, "Workers that should run and are not ready.", None),
    "segtriton_housekeeping_failures_total": (
        COUNTER,
        "Steps of the router's housekeeping that failed; while one fails there is no heartbeat.",
        None,
    ),
    "segtriton_network_warnings": (GAUGE, "Warnings of the network in use, set when a session is opened.", None),
    "segtriton_shared_memory_bytes": (
        GAUGE,
        "Size of /dev/shm, through which Triton and its models pass tensors.",
        None,
    ),
    "segtriton_shared_memory_used_bytes": (GAUGE, "What is in use of it.", None),
    "segtriton_heartbeat_timestamp_seconds": (GAUGE, "When the router last showed that it lives, Unix time.", None),
    "segtriton_draining": (GAUGE, "1 while the server takes no new session.", None),
}


_Key = tuple[str, tuple[tuple[str, str], ...]]


class Metrics:
    """The server's metrics, made by Triton's `MetricFamily` class, which the model hands in.

    Each change of a metric is a message from the model's process to Triton, and with live sessions these took more time
    than all other work of the router. So counters and observations are gathered here and handed on by `flush`.
    """

    def __init__(self, metric_family: Any) -> None:
        self._families = {
            name: metric_family(name=name, description=text, kind=getattr(metric_family, kind))
            for name, (kind, text, _) in _FAMILIES.items()
        }
        self._metrics: dict[_Key, Any] = {}
        # Two metrics changed at once by two threads end Triton with a broken heap.
        self._triton_lock = threading.Lock()
        # What has gathered of each counter and histogram. A list is kept for good, and all but `flush`, which takes
        # from its beginning, only append to it: that needs no lock.
        self._gathered: dict[_Key, list[float]] = {}
        for name, (kind, _, _) in _FAMILIES.items():
            if kind == GAUGE:
                self._metric((name, ()))

    def counter(self, name: str, **labels: str) -> Callable[[float], None]:
        """Return what increases a counter by an amount: for what is counted with each frame."""
        return self._gathered.setdefault(_key(name, labels), []).append

    def observer(self, name: str, **labels: str) -> Callable[[float], None]:
        """Return what adds a value to a histogram: for what is observed with each frame."""
        return self._gathered.setdefault(_key(name, labels), []).append

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Increase a counter, by 0 to make it appear."""
        self.counter(name, **labels)(amount)

    def set(self, name: str, value: float) -> None:
        """Set a gauge, at once."""
        with self._triton_lock:
            self._metric((name, ())).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add a value to a histogram."""
        self.observer(name, **labels)(float(value))

    def flush(self) -> None:
        """Hand on what has gathered.

        Counters are exact. Of the observations of one histogram at most `MOST_OBSERVATIONS` are handed on, spread
        evenly from the least to the greatest: the distribution stays, its count is not the number of frames. Where
        Triton does not take one, its exception passes on, and what is left waits for the next call.
        """
        self.flush_counters()
        self._hand_on_all(HISTOGRAM)

    def flush_counters(self) -> None:
        """Hand on what has gathered of counters alone: of a histogram each value is a message."""
        self._hand_on_all(COUNTER)

    def _hand_on_all(self, kind: str) -> None:
        with self._triton_lock:
            for key, values in list(self._gathered.items()):
                if _FAMILIES[key[0]][0] == kind:
                    self._hand_on(key, values)

    def _hand_on(self, key: _Key, values: list[float]) -> None:
        if not values:
            return
        metric = self._metric(key)
        count = len(values)
        if _FAMILIES[key[0]][0] == COUNTER:
            metric.increment(sum(values[:count]))
        else:
            for value in thinned(values[:count], MOST_OBSERVATIONS):
                metric.observe(value)
        del values[:count]

    def close(self) -> None:
        """Hand on what has gathered and give all metrics back: Triton's stub crashes on one that outlives its model."""
        self.flush()
        with self._triton_lock:
            self._metrics.clear()
            self._families.clear()

    def _metric(self, key: _Key) -> Any:
        metric = self._metrics.get(key)
        if metric is None:
            name, labels = key
            buckets = _FAMILIES[name][2]
            options = {} if buckets is None else {"buckets": buckets}
            metric = self._metrics[key] = self._families[name].Metric(labels=dict(labels), **options)
        return metric


def thinned(values: list[float], most: int) -> list[float]:
    """At most so many of the values, evenly spread over them in order of size, the greatest among them."""
    if len(values) <= most:
        return values
    ordered = sorted(values)
    last = len(ordered) - 1
    return [ordered[round(position * last / (most - 1))] for position in range(most)]


def _key(name: str, labels: dict[str, str]) -> _Key:
    return name, tuple(labels.items())
