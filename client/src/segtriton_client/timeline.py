"""A source that is lost and found again: its clock begins anew, the output's goes on."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from segtriton_client.errors import InputError
from segtriton_client.sources import Source, open_input

_PAUSE_SECONDS = 0.25


class Timeline:
    """Moves the timestamps of each further connection behind those before, with the gap that there was."""

    def __init__(self) -> None:
        """Begin with the first connection, whose timestamps stay."""
        self._offset: Fraction | None = Fraction(0)
        self._end = Fraction(0)
        self._lost_at = 0.0
        self._waits_for_keyframe = False

    def begin_anew(self) -> None:
        """Note that what follows is of a new connection."""
        self._offset = None
        self._waits_for_keyframe = True

    def place(self, packet: av.Packet[Any], *, is_video: bool) -> bool:
        """Move a packet's timestamps; False for one that a new connection's first keyframe should come before."""
        if self._waits_for_keyframe and not (is_video and packet.is_keyframe):
            return False
        self._waits_for_keyframe = False
        found = time_of(packet)
        if found is None:
            return True
        if self._offset is None:
            gap = Fraction(time.monotonic() - self._lost_at).limit_denominator(1000)
            self._offset = self._end + gap - found
        if self._offset:
            ticks = round(self._offset / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        if is_video:
            self._end = found + self._offset + (packet.duration or 0) * packet.time_base
            self._lost_at = time.monotonic()
        return True


def time_of(packet: av.Packet[Any]) -> Fraction | None:
    """When a packet is decoded, in seconds of its own clock."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return None if stamp is None else stamp * packet.time_base


def reopen(source: Source, seconds: float) -> InputContainer | None:
    """Open a source again, for so many seconds; None where it does not come back."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return open_input(source)
        except InputError:
            if time.monotonic() > deadline:
                return None
            time.sleep(_PAUSE_SECONDS)
