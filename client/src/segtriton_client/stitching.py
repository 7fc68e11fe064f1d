"""One run out of the outputs of several sessions: each frame once, in order, and all of them counted."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter

from segtriton_client.errors import MENDED
from segtriton_client.replay import ReplayBuffer
from segtriton_protocol import DropReason, Ended, Opened, Output, Packet
from segtriton_protocol.frame_parts import join_parts, split_parts


class StitchedOutputs:
    """What has come so far.

    Attributes:
        damaged: why, by the packet's number, of frames that were mended or lost.
    """

    def __init__(self, replay: ReplayBuffer) -> None:
        """Settle in `replay` what comes."""
        self.damaged: dict[int, str] = {}
        self._replay = replay
        self._frames_out = 0
        self._dropped: Counter[str] = Counter()
        self._extradata: bytes | None = None
        self._next_extradata = b""
        self._num_parts = 1
        self._is_ahead = False

    @property
    def answered(self) -> int:
        """Frames and drop records so far."""
        return self._frames_out + self._dropped.total()

    def begin(self, opened: Opened) -> None:
        """Take note that what follows comes from another session."""
        self._is_ahead = False
        self._next_extradata = opened.output_extradata
        self._num_parts = max(1, len(opened.effects))
        if self._extradata is None:
            self._extradata = opened.output_extradata

    def take(self, output: Output, *, is_leaving: bool) -> Output | None:
        """Leave out what another session has answered or will, and drops that only say that this one ended early."""
        now = time.monotonic()
        packets = tuple(
            dataclasses.replace(packet, pts=self._replay.display_time(packet.pts))
            for packet in output.packets
            if not (is_leaving and self._comes_too_early(packet))
            and self._replay.settle(packet.seq, now, is_frame=True)
        )
        drops = tuple(
            drop
            for drop in output.drops
            if not (is_leaving or drop.reason is DropReason.ABANDONED)
            and self._replay.settle(drop.seq, now, is_frame=False)
        )
        self._frames_out += len(packets)
        self._dropped.update(drop.reason.value for drop in drops)
        self.damaged |= {packet.seq: MENDED for packet in packets if packet.is_damaged}
        self.damaged |= {drop.seq: drop.reason.value for drop in drops if drop.reason is not DropReason.HIDDEN}
        if not packets and not drops:
            return None
        return dataclasses.replace(output, packets=self._with_extradata(packets), drops=drops)

    def account(self, last: Ended) -> Ended:
        """Return the last session's account with the counts of the whole run."""
        return dataclasses.replace(
            last, frames_in=self.answered, frames_out=self._frames_out, frames_dropped=dict(self._dropped)
        )

    def _comes_too_early(self, packet: Packet) -> bool:
        """Whether a decoder gave the frame only because it was emptied: one that is shown before it is not yet sent.

        What follows has a later dts than what was sent, and no pts before its dts; without a pts nobody knows.
        """
        if packet.pts is None or packet.pts > self._replay.newest_dts:
            self._is_ahead = True  # and with it all that follows, as later pictures refer to this one
        return self._is_ahead

    def _with_extradata(self, packets: tuple[Packet, ...]) -> tuple[Packet, ...]:
        """Put the parameter sets of another encoder before its first picture."""
        if not packets or self._next_extradata == self._extradata:
            return packets
        self._extradata = self._next_extradata
        return (dataclasses.replace(packets[0], payload=self._prefixed(packets[0].payload)), *packets[1:])

    def _prefixed(self, payload: bytes) -> bytes:
        assert self._extradata is not None, "a session has begun"
        if self._num_parts == 1:
            return self._extradata + payload
        parts = split_parts(payload, self._num_parts)
        return join_parts([part._replace(payload=self._extradata + part.payload) for part in parts])
