"""How many messages a second the router can take on this machine, by what they cost it."""

from __future__ import annotations

import time
from collections.abc import Callable

from segtriton_server.sessions.live_load import LiveLoad

# Until there is a measurement: about what an interpreter of a middling server core takes.
ASSUMED_MESSAGES_PER_SECOND = 1000.0
# The router's threads share one interpreter and use about 1.25 cores at most, Triton's part included. On an H200's host
# 0.95 still left 100 live sessions fluent, and at 1.2 frames queued for 100 ms.
_ROUTER_CORES = 1.0
_MEASURE_SECONDS = 1.0
# Fewer say little: a process at rest uses time, too.
_FEWEST_MESSAGES = 200
_WEIGHT = 0.3


class MessageCost:
    """Measures what a message costs the router's process, and tells the live load how many fit.

    Hosts differ by two and more in the speed of a core, so a fixed number makes frames queue on a slow one, or wait
    for their message to fill on a fast one.
    """

    def __init__(self, live_load: LiveLoad, process_time: Callable[[], float] = time.process_time) -> None:
        """Begin with `ASSUMED_MESSAGES_PER_SECOND`; `process_time` gives the seconds that all threads have used."""
        self._live_load = live_load
        self._process_time = process_time
        self._seconds_each = _ROUTER_CORES / ASSUMED_MESSAGES_PER_SECOND
        self._messages = 0
        self._messages_before = 0
        self._used_before = process_time()
        self._next_look = 0.0

    def count(self) -> None:
        """Count a message; called from one thread."""
        self._messages += 1

    def look(self, now: float) -> None:
        """Measure once a second; `now` is in seconds of the monotonic clock."""
        if now < self._next_look:
            return
        self._next_look = now + _MEASURE_SECONDS
        used, messages = self._process_time(), self._messages
        seconds, count = used - self._used_before, messages - self._messages_before
        self._used_before, self._messages_before = used, messages
        if count >= _FEWEST_MESSAGES:
            self._seconds_each += _WEIGHT * (seconds / count - self._seconds_each)
            self._live_load.messages_per_second = _ROUTER_CORES / self._seconds_each
