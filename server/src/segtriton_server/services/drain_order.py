"""What whoever stops the server wants of it, told through a file: a hook of the pod can write it, and nobody else."""

from __future__ import annotations

from dataclasses import dataclass

from segtriton_server.services.order_file import OrderFile

_MIGRATE = "migrate"


@dataclass(frozen=True, slots=True)
class Order:
    """Whether no new session is taken, and whether sessions are to go on elsewhere, in how many seconds."""

    drains: bool = False
    migrates: bool = False
    within_seconds: float = 0.0


class DrainOrder:
    """The file, read and written."""

    def __init__(self, path: str, server_start: float = 0.0) -> None:
        """Take the file and when the server started, as `OrderFile` does."""
        self._file = OrderFile(path, server_start)

    def read(self) -> Order:
        """Return the order of this moment."""
        text = self._file.read()
        if text is None:
            return Order()
        word, _, seconds = text.partition(" ")
        if word.strip() != _MIGRATE:
            return Order(drains=True)
        try:
            return Order(drains=True, migrates=True, within_seconds=float(seconds or 0))
        except ValueError:
            return Order(drains=True, migrates=True)

    def write(self, *, migrate_within: float | None = None) -> None:
        """Let the server drain and, if told in how many seconds, its sessions migrate; raises as `OrderFile` does."""
        self._file.write("drain" if migrate_within is None else f"{_MIGRATE} {migrate_within:g}")
