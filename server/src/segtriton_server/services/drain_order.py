"""What whoever stops the server wants of it, told through a file: a hook of the pod can write it, and nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_MIGRATE = "migrate"


@dataclass(frozen=True, slots=True)
class Order:
    """Whether no new session is taken, and whether sessions are to go on elsewhere, in how many seconds."""

    drains: bool = False
    migrates: bool = False
    within_seconds: float = 0.0


class DrainOrder:
    """The file, read and written."""

    def __init__(self, path: str) -> None:
        """Take the file's path; an empty one means that there is never an order."""
        self._path = Path(path) if path else None

    def read(self) -> Order:
        """Return the order of this moment."""
        if self._path is None:
            return Order()
        try:
            word, _, seconds = self._path.read_text(encoding="utf-8").partition(" ")
        except OSError:
            return Order()
        if word.strip() != _MIGRATE:
            return Order(drains=True)
        try:
            return Order(drains=True, migrates=True, within_seconds=float(seconds or 0))
        except ValueError:
            return Order(drains=True, migrates=True)

    def write(self, *, migrate_within: float | None = None) -> None:
        """Let the server drain and, if told in how many seconds, its sessions migrate."""
        if self._path is None:
            raise ValueError("there is no drain file: set SEGTRITON_DRAIN_FILE for the server and for this command")
        text = "drain" if migrate_within is None else f"{_MIGRATE} {migrate_within:g}"
        partial = self._path.with_name(f"{self._path.name}.part")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._path)
