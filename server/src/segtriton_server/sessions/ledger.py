"""The books of one session: every input packet ends as one output or one drop record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from segtriton_protocol import Drop, DropReason

# A decoder holds back at most 16 pictures, each of two fields; a packet this far behind the
# newest output will give no picture any more.
_REORDER_LIMIT = 48


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
        # Size and time of arrival, by number.
        self._pending: dict[int, tuple[int, float]] = {}
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

    def accept(self, seq: int, size: int, now: float) -> tuple[bool, Sequence[Drop]]:
        """Book a packet of `size` bytes in; `now` is in seconds.

        Returns:
            Whether it is new (False for one that was there before or was already reported
            missing), and drop records for the numbers skipped before it.
        """
        self.received_packets += 1
        self.received_bytes += size
        if seq < self.next_seq:
            self._settle_size(size)
            return False, ()
        missing = self._miss(seq) if seq > self.next_seq else ()
        self.next_seq = seq + 1
        self._pending[seq] = size, now
        return True, missing

    def settle_output(self, seq: int) -> float | None:
        """Book a frame out; returns its packet's arrival time, or None if it must not be sent."""
        pending = self._pending.pop(seq, None)
        if pending is None:
            return None
        size, arrived = pending
        self._settle_size(size)
        if seq > self._newest_out:
            self._newest_out = seq
        if not self._is_wanted(seq):
            return None
        self.frames_out += 1
        return arrived

    def settle_drop(self, seq: int, reason: DropReason) -> list[Drop]:
        """Book a packet as dropped; returns its record, or nothing if it was settled before.

        One that gave no frame counts as damaged as long as the decoder has refused more than were booked.
        """
        pending = self._pending.pop(seq, None)
        if pending is None:
            return []
        self._settle_size(pending[0])
        if reason is DropReason.NO_FRAME:
            reason = self._silent_reason()
        drop = self._drop(seq, reason)
        return [drop] if self._is_wanted(seq) else []

    def note_damage(self, count: int = 1) -> None:
        """Remember that the decoder refused so many packets, which ones it cannot always say."""
        self._damaged += count

    def drop_overdue(self) -> list[Drop]:
        """Book packets as dropped that can give no frame any more, as later ones are out."""
        return list(self._drop_while(self._newest_out - _REORDER_LIMIT, None))

    def finish(self, next_seq: int, reason: DropReason | None = None) -> list[Drop]:
        """Book what is left when nothing follows: unanswered packets and numbers never sent."""
        drops = list(self._drop_while(self.next_seq, reason))
        return drops + self._miss(next_seq)

    def dropped_by_reason(self) -> dict[str, int]:
        """Counts of drop records by the reason's name on the wire."""
        return {reason.value: count for reason, count in self.dropped.items()}

    def _is_wanted(self, seq: int) -> bool:
        return seq >= self._wanted_seq and seq not in self._answered_seqs

    def _miss(self, next_seq: int) -> list[Drop]:
        """Book the numbers before `next_seq` as missing."""
        missing = [self._drop(seq, DropReason.MISSING) for seq in range(self.next_seq, next_seq)]
        self.next_seq = max(self.next_seq, next_seq)
        return [drop for drop in missing if self._is_wanted(drop.seq)]

    def _drop_while(self, below: int, reason: DropReason | None) -> Iterator[Drop]:
        while self._pending and (seq := next(iter(self._pending))) < below:
            yield from self.settle_drop(seq, reason or DropReason.NO_FRAME)

    def _silent_reason(self) -> DropReason:
        if self._damaged:
            self._damaged -= 1
            return DropReason.DAMAGED
        return DropReason.NO_FRAME

    def _settle_size(self, size: int) -> None:
        self.settled_packets += 1
        self.settled_bytes += size

    def _drop(self, seq: int, reason: DropReason) -> Drop:
        if self._is_wanted(seq):
            self.dropped[reason] += 1
        return Drop(seq, reason)
