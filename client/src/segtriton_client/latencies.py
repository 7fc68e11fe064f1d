"""The latencies of a session that may last for days: the newest million of them, ten hours of a camera's."""

from array import array

MAX_LATENCIES = 1 << 20


def add_latency(latencies: "array[float]", seconds: float) -> None:
    """Append a latency; of `MAX_LATENCIES`, the older half is forgotten first."""
    if len(latencies) >= MAX_LATENCIES:
        del latencies[: MAX_LATENCIES // 2]
    latencies.append(seconds)
