"""How many sessions the server is to keep for a while, told through a file beside the one that tells it to drain."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Keep:
    """So many sessions stay, for so many seconds; whatever else comes or is there goes elsewhere."""

    sessions: int
    seconds_left: float


class KeepOrder:
    """The file, read and written. It holds when it ends, so that nobody has to take it back."""

    def __init__(self, drain_file: str) -> None:
        """Take the drain file's path; an empty one means that there is never an order."""
        self._path = Path(f"{drain_file}.keep") if drain_file else None

    def read(self) -> Keep | None:
        """Return the order of this moment, None once its time is over."""
        if self._path is None:
            return None
        try:
            sessions, _, end = self._path.read_text(encoding="utf-8").partition(" ")
            keep = Keep(int(sessions), float(end) - time.time())
        except (OSError, ValueError):
            return None
        return keep if keep.seconds_left > 0 else None

    def write(self, sessions: int, seconds: float) -> None:
        """Let the server keep so many sessions for so many seconds; 0 seconds end an earlier order."""
        if self._path is None:
            raise ValueError("there is no drain file: set SEGTRITON_DRAIN_FILE for the server and for this command")
        partial = self._path.with_name(f"{self._path.name}.part")
        partial.write_text(f"{sessions} {time.time() + seconds}", encoding="utf-8")
        partial.replace(self._path)
