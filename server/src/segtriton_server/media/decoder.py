"""Packets to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from segtriton_protocol import Packet
from segtriton_server.frames import Pictures


@dataclass(frozen=True, slots=True)
class FrameGroup:
    """Pictures that follow each other, and the numbers of the packets that they were coded in.

    `owner` keeps alive the decoder's buffer that the planes are views of; `damaged` are those of the numbers whose
    pictures the decoder had to mend.
    """

    seqs: tuple[int, ...]
    pictures: Pictures
    owner: object = None
    damaged: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.seqs)

    def select(self, positions: Sequence[int]) -> FrameGroup:
        """The frames at the positions given, which rise."""
        if len(positions) == len(self.seqs):
            return self
        seqs = tuple(self.seqs[position] for position in positions)
        return FrameGroup(seqs, self.pictures.select(positions), self.owner, self.damaged)


@dataclass(slots=True)
class Decoded:
    """What came out of a decoder, in presentation order, and how many packets it refused meanwhile."""

    groups: list[FrameGroup] = field(default_factory=list)
    damaged: int = 0


class Decoder(Protocol):
    """One session's decoder; one thread at a time."""

    @property
    def name(self) -> str:
        """Which decoder it is, and why if it is not the first choice."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed about the pictures so far, each one sentence."""

    def decode(self, packets: Sequence[Packet]) -> Decoded:
        """Take some packets; return the pictures that are ready, in groups of one size."""

    def flush(self) -> Decoded:
        """Return the pictures that are left at the end."""

    def close(self) -> None:
        """Release the decoder."""
