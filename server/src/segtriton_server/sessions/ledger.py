"""The books of one session: every input packet ends as one output or one drop record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segtriton_protocol import Drop, DropReason, Packet

# A decoder holds back at most 16 pictures, each of two fields; a packet this far behind the
# newest output will give no picture any more.
_REORDER_LIMIT = 48


@dataclass(slots=True)
class _Pending:
    size: int
    arrived: float


class Ledger:
    """Counts packets in, frames out and drops; refuses to count anything twice.

    Packets below `wanted_seq` and `answered_seqs` are decoded only because later ones need them: they take
    credit, but are neither counted nor reported.
    """

    def __init__(self, first_seq: int = 0, wanted_seq: int = 0, answered_seqs: Iterable[int] = ()) -> None:
        self.next_seq = first_seq
        self.received_packets = 0
        self.received_bytes = 0
        self.settled_packets = 0
        self.settled_bytes = 0
        self.frames_out = 0
        self.dropped: Counter[DropReason] = Counter()
        self._first_counted = max(first_seq, wanted_seq)
        self._wanted_seq = wanted_seq
        self._answered_seqs = frozenset(seq for seq in answered_seqs if seq >= self._first_counted)
        self._pending: dict[int, _Pending] = {}
        self._newest_out = -1
        self._damaged = 0

    @property
    def frames_in(self) -> int:
        """Input packets so far, lost ones included."""
        answered = sum(seq < self.next_seq for seq in self._answered_seqs)
        return max(0, self.next_seq - self._first_counted - answered)

    @property
    def unanswered(self) -> int:
        """Packets that have neither an output nor a drop record."""
        return len(self._pending)

    def accept(self, packet: Packet, now: float) -> tuple[bool, list[Drop]]:
        """Book a packet in; `now` is in seconds.

        Returns:
            Whether it is new (False for one that was there before or was already reported
            missing), and drop records for the numbers skipped before it.
        """
        self.received_packets += 1
        self.received_bytes += len(packet.payload)
        if packet.seq < self.next_seq:
            self._settle_size(len(packet.payload))
            return False, []
        missing = [self._drop(seq, DropReason.MISSING) for seq in range(self.next_seq, packet.seq)]
        self.next_seq = packet.seq + 1
        self._pending[packet.seq] = _Pending(len(packet.payload), now)
        return True, [drop for drop in missing if self._is_wanted(drop.seq)]

    def settle_output(self, seq: int) -> float | None:
        """Book a frame out; returns its packet's arrival time, or None if it must not be sent."""
        pending = self._settle(seq)
        if pending is None:
            return None
        self._newest_out = max(self._newest_out, seq)
        if not self._is_wanted(seq):
            return None
        self.frames_out += 1
        return pending.arrived

    def settle_drop(self, seq: int, reason: DropReason) -> list[Drop]:
        """Book a packet as dropped; returns its record, or nothing if it was settled before.

        One that gave no frame counts as damaged as long as the decoder has refused more than were booked.
        """
        if self._settle(seq) is None:
            return []
        if reason is DropReason.NO_FRAME:
            reason = self._silent_reason()
        drop = self._drop(seq, reason)
        return [drop] if self._is_wanted(seq) else []

    def note_damage(self) -> None:
        """Remember that the decoder refused a packet, which one it cannot always say."""
        self._damaged += 1

    def drop_overdue(self) -> list[Drop]:
        """Book packets as dropped that can give no frame any more, as later ones are out."""
        return list(self._drop_while(self._newest_out - _REORDER_LIMIT, None))

    def finish(self, next_seq: int, reason: DropReason | None = None) -> list[Drop]:
        """Book what is left when nothing follows: unanswered packets and numbers never sent."""
        drops = list(self._drop_while(self.next_seq, reason))
        missing = [self._drop(seq, DropReason.MISSING) for seq in range(self.next_seq, next_seq)]
        self.next_seq = max(self.next_seq, next_seq)
        return drops + [drop for drop in missing if self._is_wanted(drop.seq)]

    def dropped_by_reason(self) -> dict[str, int]:
        """Counts of drop records by the reason's name on the wire."""
        return {reason.value: count for reason, count in self.dropped.items()}

    def _is_wanted(self, seq: int) -> bool:
        return seq >= self._wanted_seq and seq not in self._answered_seqs

    def _drop_while(self, below: int, reason: DropReason | None) -> Iterator[Drop]:
        while self._pending and (seq := next(iter(self._pending))) < below:
            yield from self.settle_drop(seq, reason or DropReason.NO_FRAME)

    def _silent_reason(self) -> DropReason:
        if self._damaged:
            self._damaged -= 1
            return DropReason.DAMAGED
        return DropReason.NO_FRAME

    def _settle(self, seq: int) -> _Pending | None:
        pending = self._pending.pop(seq, None)
        if pending is not None:
            self._settle_size(pending.size)
        return pending

    def _settle_size(self, size: int) -> None:
        self.settled_packets += 1
        self.settled_bytes += size

    def _drop(self, seq: int, reason: DropReason) -> Drop:
        if self._is_wanted(seq):
            self.dropped[reason] += 1
        return Drop(seq, reason)
