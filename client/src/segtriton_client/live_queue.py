"""Packets of a source that does not wait: what gets too old before it is sent is dropped and counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from segtriton_client.demuxer import CarriedPacket
from segtriton_protocol import Packet


class LiveQueue:
    """A line between a reading thread and a sender, that never holds more than `most_seconds` of packets.

    When the oldest has waited longer, the line is emptied, and what follows is dropped up to the next keyframe, as
    nothing before it could be decoded. Packets are numbered when they leave, so no number is missing.

    Attributes:
        num_stale: packets that were dropped.
    """

    def __init__(self, most_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_stale = 0
        self._most_seconds = most_seconds
        self._clock = clock
        self._line: deque[tuple[float, Packet]] = deque()
        self._changed = threading.Condition()
        self._waits_for_keyframe = False
        self._is_over = False
        self._failure: Exception | None = None

    def read(self, packets: Iterable[Packet | CarriedPacket], carry: Callable[[CarriedPacket], None]) -> None:
        """Take all packets of a source; meant for a thread of its own. `take` raises what went wrong."""
        try:
            for packet in packets:
                if self._is_over:
                    return
                if isinstance(packet, Packet):
                    self.put(packet)
                else:
                    carry(packet)
        except Exception as error:  # noqa: BLE001 - it is raised where the packets are taken
            self._failure = error
        self.close()

    def put(self, packet: Packet) -> None:
        """Add a packet, or drop it."""
        with self._changed:
            now = self._clock()
            if self._line and now - self._line[0][0] > self._most_seconds:
                self.num_stale += len(self._line)
                self._line.clear()
                self._waits_for_keyframe = True
            if self._waits_for_keyframe and not packet.is_keyframe:
                self.num_stale += 1
                return
            self._waits_for_keyframe = False
            self._line.append((now, packet))
            self._changed.notify()

    def close(self) -> None:
        """Say that nothing follows."""
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def take(self) -> list[Packet]:
        """Wait for packets and return all there are; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._is_over)
            packets = [packet for _, packet in self._line]
            self._line.clear()
            if not packets and self._failure is not None:
                raise self._failure
            return packets
