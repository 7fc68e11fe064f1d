"""The packets that a client keeps so that another server can go on where one left off."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Sequence

from segtriton_client.display_order import DisplayTimes
from segtriton_client.latencies import add_latency
from segtriton_protocol import Packet
from segtriton_protocol.formats import MAX_REORDER_FRAMES

_MOST_BYTES = 256 << 20


class ReplayBuffer:
    """What was handed over and not yet answered, back to the keyframe that its decoding needs.

    Attributes:
        latencies: seconds from a packet's coming to its answer, of frames that came out; at most `MAX_LATENCIES`.
        newest_dts: of the packets that were sent last; -inf where they have none.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        """Keep at most so many bytes of packets; beyond that nothing can be replayed."""
        self.latencies = array("d")
        self.newest_dts = float("-inf")
        self._most_bytes = most_bytes
        self._packets: list[Packet] = []
        self._bytes = 0
        self._cursor = 0
        self._unanswered: dict[int, tuple[float, int | None, int | None]] = {}
        self._times = DisplayTimes()
        self._next_seq = 0
        self._is_whole = True

    @property
    def num_unsent(self) -> int:
        """Packets that the session at hand has not been sent."""
        return len(self._packets) - self._cursor

    @property
    def num_unanswered(self) -> int:
        """Packets without an answer, sent or not."""
        return len(self._unanswered)

    @property
    def wanted_seq(self) -> int:
        """The first packet without an answer; the next one's number where all are answered."""
        return next(iter(self._unanswered), self._next_seq)

    @property
    def answered_seqs(self) -> tuple[int, ...]:
        """Packets after the first wanted one that are answered, as their pictures are shown earlier."""
        wanted = self.wanted_seq
        return tuple(
            packet.seq for packet in self._packets if packet.seq > wanted and packet.seq not in self._unanswered
        )

    @property
    def reorder_frames(self) -> int:
        """How many frames a decoder must hold back at least, by the pts of the packets that are kept."""
        most = 0
        earlier: list[int] = []
        for packet in self._packets:
            if packet.pts is not None:
                most = max(most, len(earlier) - bisect.bisect_right(earlier, packet.pts))
                bisect.insort(earlier, packet.pts)
        return min(most, MAX_REORDER_FRAMES)

    def add(self, packets: Sequence[Packet], now: float) -> None:
        """Keep packets that come now, in seconds; they count as unsent."""
        for packet in packets:
            if packet.is_keyframe:
                self._forget()
            self._packets.append(packet)
            self._bytes += len(packet.payload)
            self._unanswered[packet.seq] = now, packet.pts, packet.dts
            self._times.expect(packet.pts, packet.dts)
            self._next_seq = packet.seq + 1
        if self._bytes > self._most_bytes:
            self._is_whole = False
            self._drop(self._cursor)

    def peek(self, count: int) -> list[Packet]:
        """Return the next packets to send."""
        return self._packets[self._cursor : self._cursor + count]

    def mark_sent(self, count: int) -> None:
        """Note that so many of them went out."""
        for packet in self._packets[self._cursor : self._cursor + count]:
            self.newest_dts = float("-inf") if packet.dts is None else packet.dts
        self._cursor += count

    def settle(self, seq: int, now: float, *, is_frame: bool) -> bool:
        """Note an answer; False for one that was answered before, by another server."""
        if seq not in self._unanswered:
            return False
        came_at, pts, dts = self._unanswered.pop(seq)
        if is_frame:
            add_latency(self.latencies, now - came_at)
        else:
            self._times.forget(pts, dts)
        return True

    def display_time(self, pts: int | None) -> int | None:
        """Return when the frame that was answered last is shown, if its packet does not say it."""
        return self._times.place(pts)

    def rewind(self) -> int | None:
        """Begin again for a new session; returns the number of its first packet, None where that is not kept any more.

        Where nothing is kept at all, the session begins with the next packet that is added.
        """
        if not self._is_whole:
            return None
        self._forget()
        self._cursor = 0
        return self._packets[0].seq if self._packets else self._next_seq

    def _forget(self) -> None:
        """Drop what no unanswered packet needs."""
        self._drop(min(self._first_needed(), self._cursor))

    def _drop(self, count: int) -> None:
        self._bytes -= sum(len(packet.payload) for packet in self._packets[:count])
        del self._packets[:count]
        self._cursor -= count

    def _first_needed(self) -> int:
        """The last keyframe from which all that is unanswered can be decoded.

        Packets after a keyframe that are shown before it may need the pictures before it, too (an open group). Where no
        pts tells which these are, they are answered before the keyframe is.
        """
        wanted = self.wanted_seq
        earliest: float = float("inf")
        for position in range(len(self._packets) - 1, -1, -1):
            packet = self._packets[position]
            if packet.seq in self._unanswered and packet.pts is not None:
                earliest = min(earliest, packet.pts)
            has_leading = packet.seq == wanted if packet.pts is None else packet.pts > earliest
            if packet.is_keyframe and packet.seq <= wanted and not has_leading:
                return position
        return 0
