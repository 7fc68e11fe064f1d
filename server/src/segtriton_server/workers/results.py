"""What the stages of a session hand to the worker's main loop, and through it to the router."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from segtriton_protocol import Drop, Packet, SegtritonError


@dataclass(slots=True)
class Results:
    """What a stage has finished, to be sent to the router in one message.

    `stages` holds for each call of a stage the seconds that it took per frame, and of how many frames.
    """

    packets: list[Packet] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    damaged: int = 0
    stages: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    def add_time(self, stage: str, seconds: float, frames: int) -> None:
        """Note that a stage took so long for so many frames together."""
        self.stages[stage].append((seconds / frames, frames))


class ResultSink(Protocol):
    """Where a pipeline puts its results; implemented by the worker's main loop."""

    def results(self, session_id: str, results: Results) -> None:
        """Send finished frames."""

    def ended(self, session_id: str, notes: Sequence[str]) -> None:
        """Say that all results of the session are out, and what was changed about its pictures."""

    def failed(self, session_id: str, error: SegtritonError) -> None:
        """Say that the session cannot go on."""

    def lost(self) -> None:
        """Give up the whole process: no session can go on in it."""
