"""The client's own account of a session, against which the server's is checked."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence

from segtriton_client.errors import IntegrityError
from segtriton_client.latencies import add_latency
from segtriton_protocol import Ended, Output, Packet


class Ledger:
    """Counts what was sent and what came back; every wanted packet is answered exactly once.

    Attributes:
        packets_sent: packets since OPEN, unwanted ones included, as credit counts them.
        bytes_sent: their payload bytes.
        next_seq: the number of the next packet.
        frames_out: output frames so far.
        dropped: drop records so far, by reason.
        latencies: seconds from the sending of a packet to its output, in order of output; at most `MAX_LATENCIES`.
    """

    def __init__(self, wanted_seq: int = 0, answered_seqs: Sequence[int] = ()) -> None:
        """Take the first packet wanted of this session, and later ones that another one has answered."""
        self.packets_sent = 0
        self.bytes_sent = 0
        self.next_seq = 0
        self.frames_out = 0
        self.dropped: Counter[str] = Counter()
        self.latencies = array("d")
        self._wanted_seq = wanted_seq
        self._answered_seqs = frozenset(answered_seqs)
        self._wanted_sent = 0
        self._sent_at: dict[int, float] = {}
        self._digest = hashlib.sha256()

    @property
    def outstanding(self) -> int:
        """How many packets wait for their answer."""
        return len(self._sent_at)

    @property
    def answered(self) -> int:
        """How many outputs and drop records have come."""
        return self._wanted_sent - len(self._sent_at)

    def record_sent(self, packets: Sequence[Packet], now: float) -> None:
        """Note packets that go out now."""
        for packet in packets:
            if packet.seq >= self._wanted_seq and packet.seq not in self._answered_seqs:
                self._sent_at[packet.seq] = now
                self._wanted_sent += 1
            self.packets_sent += 1
            self.bytes_sent += len(packet.payload)
            self.next_seq = packet.seq + 1

    def record_output(self, output: Output, now: float) -> None:
        """Note the outputs and drops of a message; raises IntegrityError on a stray or doubled one."""
        for packet in output.packets:
            add_latency(self.latencies, now - self._settle(packet.seq))
            self.frames_out += 1
            self._digest.update(packet.payload)
        for drop in output.drops:
            self._settle(drop.seq)
            self.dropped[drop.reason.value] += 1

    def verify(self, ended: Ended) -> None:
        """Raise IntegrityError unless the server's final account equals this one."""
        if self._sent_at:
            raise IntegrityError(f"The service ended the session and left {len(self._sent_at)} frames unanswered.")
        theirs = {reason: count for reason, count in ended.frames_dropped.items() if count}
        if (ended.frames_in, ended.frames_out, theirs) != (self._wanted_sent, self.frames_out, dict(self.dropped)):
            raise IntegrityError(
                f"The service counts {ended.frames_in} frames in and {ended.frames_out} out, "
                f"the client {self._wanted_sent} and {self.frames_out}."
            )
        if ended.digest != self._digest.hexdigest():
            raise IntegrityError("The digest of the output differs from the service's.")

    def _settle(self, seq: int) -> float:
        sent_at = self._sent_at.pop(seq, None)
        if sent_at is None:
            raise IntegrityError(f"The service answered packet {seq} twice, or it was never sent.")
        return sent_at
