"""The figures as rows, and the rows as text."""

from dataclasses import asdict, dataclass
from typing import Any

HEAD = ("", "figure", "ratio", "to", "floor / aim", "")
NUMBERS = (1, 2)


@dataclass(frozen=True)
class Target:
    """What a figure should be: of the ratio if there is one, else of the value."""

    floor: float
    aim: float

    def verdict(self, figure: float) -> str:
        """Compare; the aim says by itself whether less is better."""
        sign = -1 if self.aim < self.floor else 1
        if figure * sign >= self.aim * sign:
            return "aim reached"
        return "floor reached" if figure * sign >= self.floor * sign else "MISSED"


@dataclass(frozen=True)
class Row:
    """One figure."""

    section: str
    what: str
    value: float
    unit: str
    ratio: float | None = None
    ratio_to: str = ""
    target: Target | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """How it stands to its target, empty without one."""
        if self.target is None:
            return ""
        return self.target.verdict(self.value if self.ratio is None else self.ratio)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}

    def cells(self) -> tuple[str, ...]:
        """The texts of its columns."""
        unit = "x" if self.ratio is not None else f" {self.unit}"
        target = f"{self.target.floor:g} / {self.target.aim:g}{unit}" if self.target else ""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return (
            f"  {self.what}",
            f"{self.value:.1f} {self.unit}",
            ratio,
            self.ratio_to,
            target,
            ", ".join(filter(None, (self.verdict, self.note))),
        )


def render(rows: list[Row]) -> str:
    """The table as text."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [_line(HEAD, widths)]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", section]
        lines.append(_line(row.cells(), widths))
    return "\n".join(lines)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        text.rjust(width) if column in NUMBERS else text.ljust(width)
        for column, (text, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
