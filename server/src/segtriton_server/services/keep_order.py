"""How many sessions the server is to keep for a while, told through a file beside the one that tells it to drain."""

from __future__ import annotations

import time
from dataclasses import dataclass

from segtriton_server.services.order_file import OrderFile


@dataclass(frozen=True, slots=True)
class Keep:
    """So many sessions stay, for so many seconds; whatever else comes or is there goes elsewhere."""

    sessions: int
    seconds_left: float


class KeepOrder:
    """The file, read and written. It holds when it ends, so that nobody has to take it back."""

    def __init__(self, drain_file: str, server_start: float = 0.0) -> None:
        """Take the drain file's path, "" for none, and when the server started, as `OrderFile` does."""
        self._file = OrderFile(f"{drain_file}.keep" if drain_file else "", server_start)

    def read(self) -> Keep | None:
        """Return the order of this moment, None once its time is over."""
        sessions, _, end = (self._file.read() or "").partition(" ")
        try:
            keep = Keep(int(sessions), float(end) - time.time())
        except ValueError:
            return None
        return keep if keep.seconds_left > 0 else None

    def write(self, sessions: int, seconds: float) -> None:
        """Let the server keep so many sessions for so many seconds, 0 ends an earlier order; raises as `OrderFile`."""
        self._file.write(f"{sessions} {time.time() + seconds}")
