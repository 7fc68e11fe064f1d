"""What the stages of a session hand to the worker's main loop, and through it to the router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from segtriton_protocol import Drop, Packet, SegtritonError
from segtriton_server.stage_totals import StageTotal, add_totals


@dataclass(slots=True)
class Results:
    """What a stage has finished, to be sent to the router in one message.

    `stages` holds the seconds that each stage took, and for how many frames.
    """

    packets: list[Packet] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    damaged: int = 0
    stages: dict[str, StageTotal] = field(default_factory=dict)

    def add_time(self, stage: str, seconds: float, frames: int) -> None:
        """Note that a stage took so long for so many frames together."""
        self.add_stages({stage: (seconds, frames)})

    def add_stages(self, stages: Mapping[str, StageTotal]) -> None:
        """Note what stages took."""
        add_totals(self.stages, stages)


class ResultSink(Protocol):
    """Where a pipeline puts its results; implemented by the worker's main loop."""

    def results(self, session_id: str, results: Results) -> None:
        """Send finished frames."""

    def ended(self, session_id: str, notes: Sequence[str], frames_without_class: int | None) -> None:
        """Say that all results are out, what was changed about the pictures, and a count (see `Ended`)."""

    def failed(self, session_id: str, error: SegtritonError) -> None:
        """Say that the session cannot go on."""

    def lost(self) -> None:
        """Give up the whole process: no session can go on in it."""
