"""What commands say: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True)
class Output:
    """Where a command's words go; with `as_json` only one object is written, at the end."""

    as_json: bool

    def tell(self, text: str) -> None:
        """Say what happens, to a person; a script reads the result."""
        click.echo(text, err=self.as_json)

    def finish(self, result: Any, text: str = "") -> None:
        """Write the result: as JSON, or as a person reads it."""
        if self.as_json:
            click.echo(json.dumps(result, indent=2))
        elif text:
            click.echo(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return columns of equal width; None is a dash."""
    texts = [list(columns), *([("-" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in texts)
    return "\n".join(line.rstrip() for line in lines)
