"""How long a session's frames have taken in each stage."""

from __future__ import annotations

from collections import Counter


class StageTimes:
    """Sums of one session, by stage; one thread adds, and asks for the means at the end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seconds: Counter[str] = Counter()
        self._frames: Counter[str] = Counter()

    def add(self, stage: str, seconds: float, frames: int) -> None:
        """Note that so many frames took so many seconds each."""
        self._seconds[stage] += seconds * frames  # type: ignore[assignment]
        self._frames[stage] += frames

    def means_ms(self) -> dict[str, float]:
        """The mean time of a frame in each stage, in milliseconds."""
        return {stage: round(1000 * seconds / self._frames[stage], 3) for stage, seconds in self._seconds.items()}
