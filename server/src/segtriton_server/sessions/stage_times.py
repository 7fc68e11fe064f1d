"""How long a session's frames have taken in each stage."""

from __future__ import annotations

from collections.abc import Mapping

from segtriton_server.stage_totals import StageTotal, add_totals


class StageTimes:
    """Sums of one session, by stage; one thread adds, and asks for the means at the end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._totals: dict[str, StageTotal] = {}

    def add(self, stages: Mapping[str, StageTotal]) -> None:
        """Note, by stage, the seconds that so many frames took together."""
        add_totals(self._totals, stages)

    def means_ms(self) -> dict[str, float]:
        """The mean time of a frame in each stage, in milliseconds."""
        return {stage: round(1000 * seconds / frames, 3) for stage, (seconds, frames) in self._totals.items()}
