"""Times of copied packets as containers want them: none is decoded before the one in front of it."""

from __future__ import annotations

import math
from typing import Any, cast

import av
from av.format import Flags
from av.stream import Stream

_NONSTRICT = cast(int, Flags.ts_nonstrict.value)
_MAY_BE_EQUAL = ("subtitle", "data")


class MonotonicDts:
    """One track's copied packets, on their way to `target`; jitter is moved on as FFmpeg's command does it."""

    def __init__(self, target: Stream) -> None:
        self._target = target
        is_strict = not target.container.format.flags & _NONSTRICT
        self._needs_distance = is_strict and target.type not in _MAY_BE_EQUAL
        self._earliest: int | None = None

    def place(self, packet: av.Packet[Any]) -> bool:
        """Move a packet's dts and pts on to the earliest that the container takes; tell whether they were before it."""
        if packet.dts is None:
            return False
        dts = packet.dts if self._earliest is None else max(packet.dts, self._earliest)
        is_early = dts != packet.dts
        if is_early:
            packet.dts = dts
            packet.pts = packet.pts if packet.pts is None else max(packet.pts, dts)
        self._earliest = dts + self._tick_of(packet)
        return is_early

    def _tick_of(self, packet: av.Packet[Any]) -> int:
        """Return how many of a packet's ticks two packets have to be apart in the container's clock."""
        if not self._needs_distance:
            return 0
        tick = self._target.time_base or packet.time_base
        return max(1, math.ceil(tick / packet.time_base))
