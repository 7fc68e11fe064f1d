"""The times of a track's frames as containers want them: each later than the last, and none without a duration."""

from __future__ import annotations

from fractions import Fraction


class RisingTimes:
    """One track's frames in the order in which they are shown; all times are in its time base."""

    def __init__(self, time_base: Fraction, frame_rate: Fraction | None) -> None:
        """Take the rate for as long as no two frames have told their distance."""
        self._num_moved = 0
        self._last: int | None = None
        self._step = max(1, round(1 / (time_base * frame_rate))) if frame_rate else 1

    @property
    def notes(self) -> list[str]:
        """What was done to the times, one sentence if anything was."""
        moved = f"{self._num_moved} frames were no later than the one before them; they were moved on."
        return [moved] if self._num_moved else []

    def place(self, pts: int | None, duration: int) -> tuple[int, int]:
        """Return a frame's pts and duration; without a pts, or if it is no later than the last, the next free."""
        if self._last is not None:
            self._num_moved += pts is not None and pts <= self._last
            pts = self._last + self._step if pts is None else max(pts, self._last + 1)
        pts = pts or 0
        if self._last is not None:
            self._step = pts - self._last
        self._last = pts
        return pts, duration or self._step  # a last frame of no duration would not be shown
