"""Counters over all probes since the start: what service level objectives are computed from."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from segtriton_ops.exporter.results import Observation
from segtriton_ops.exporter.targets import Target

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OK, REFUSED, FAILED = "ok", "refused", "failed"
# A pod that leaves, or that is full, refuses in order: a client goes to the next one.
_REFUSALS = ("DRAINING", "RESOURCE_EXHAUSTED")


class Totals:
    """Counts sessions, frames and latencies of each target, whichever pods it had."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sessions = Counter(
            "segtriton_probe_sessions_total",
            "Synthetic sessions, by outcome: ok, refused in order, or failed.",
            ["target", "outcome"],
            registry=registry,
        )
        self._frames = Counter(
            "segtriton_probe_session_frames_total",
            "Frames of synthetic sessions, by outcome: out, or lost.",
            ["target", "outcome"],
            registry=registry,
        )
        self._latency = Histogram(
            "segtriton_probe_frame_latency_seconds",
            "From the sending of a packet to the arrival of its frame.",
            ["target"],
            buckets=_SECONDS,
            registry=registry,
        )

    def watch(self, target: Target) -> None:
        """Make a target's counters appear with 0, without which Prometheus does not see the first failure."""
        for outcome in (OK, REFUSED, FAILED):
            self._sessions.labels(str(target), outcome)
        for outcome in ("out", "lost"):
            self._frames.labels(str(target), outcome)
        self._latency.labels(str(target))

    def add(self, target: Target, observation: Observation) -> None:
        """Count one session."""
        probe, name = observation.probe, str(target)
        self._sessions.labels(name, outcome_of(probe.code)).inc()
        self._frames.labels(name, "out").inc(probe.frames_out)
        self._frames.labels(name, "lost").inc(max(0, probe.frames_sent - probe.frames_out))
        for seconds in probe.latencies:
            self._latency.labels(name).observe(seconds)


def outcome_of(code: str) -> str:
    """Return whether a code is a success, a refusal in order, or a failure."""
    if not code:
        return OK
    return REFUSED if code in _REFUSALS else FAILED
