"""A line on the terminal that shows how far a run is."""

from __future__ import annotations

import contextlib
import sys
import time

from segtriton_client.job import Progress

_BAR_WIDTH = 24
_REFRESH_SECONDS = 0.1


class ProgressBar:
    """Draws where errors go, if that is a terminal; silent elsewhere."""

    def __init__(self, label: str) -> None:
        self._label = " ".join(label.split())
        self._is_shown = sys.stderr is not None and sys.stderr.isatty()
        self._drawn_at = 0.0

    def update(self, progress: Progress) -> None:
        """Draw the state, at most ten times a second."""
        now = time.monotonic()
        if self._is_shown and now - self._drawn_at >= _REFRESH_SECONDS:
            self._drawn_at = now
            self._draw(f"\r{self._label} {describe_progress(progress)}\x1b[K")

    def clear(self) -> None:
        """Remove the line."""
        if self._is_shown and self._drawn_at:
            self._draw("\r\x1b[K")

    def _draw(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that has hung up
            sys.stderr.write(text)
            sys.stderr.flush()


def describe_progress(progress: Progress) -> str:
    """Return the bar, the frames, the speed and the time left."""
    done, total = progress.frames_done, progress.frames_total
    speed = done / progress.seconds if progress.seconds > 0 else 0.0
    if not total:
        return f"{done} frames, {speed:.0f} fps"
    filled = min(_BAR_WIDTH, _BAR_WIDTH * done // total)
    left = max(0, round((total - done) / speed)) if speed else 0
    bar = "#" * filled + "." * (_BAR_WIDTH - filled)
    return f"[{bar}] {done}/{total} frames, {speed:.0f} fps, ETA {left // 60}:{left % 60:02d}"
