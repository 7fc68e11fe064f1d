"""What stages have taken, added up: a worker's for a message, the router's for a session."""

from __future__ import annotations

from collections.abc import Mapping

StageTotal = tuple[float, int]
"""The seconds that some frames of a session have taken in one stage together, and how many frames those were."""


def add_totals(totals: dict[str, StageTotal], more: Mapping[str, StageTotal]) -> None:
    """Add to `totals`, by stage, what is in `more`."""
    for stage, (seconds, frames) in more.items():
        total = totals.get(stage, (0.0, 0))
        totals[stage] = total[0] + seconds, total[1] + frames
