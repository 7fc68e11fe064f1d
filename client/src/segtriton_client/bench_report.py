"""The measurements of `segclient bench` as one HTML file: charts, a table, and under which conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from segtriton_client.svg_chart import bar_chart, line_chart

if TYPE_CHECKING:
    from segtriton_client.bench import Point

_STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid #8884; }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 1rem; } dd { margin: 0; }
figure { margin: 0; } svg { width: 100%; height: auto; }
"""
_COLUMNS = ("sessions", "frames/s", "p50 ms", "p95 ms", "p99 ms", "dropped", "client %")
_BUSY = 0.8


def write_report(points: Sequence[Point], conditions: Mapping[str, str]) -> str:
    """Return the page."""
    xs = [point.sessions for point in points]
    throughput = line_chart(
        xs, {"frames a second": [point.frames_per_second for point in points]}, "sessions", "frames/s"
    )
    percentiles = {name: [point.latency_ms[name] for point in points] for name in ("p50", "p95", "p99")}
    latency = line_chart(xs, percentiles, "sessions", "ms")
    names = list(dict.fromkeys(name for point in points for name in point.stages))
    stages = {name: [point.stages.get(name, 0.0) for point in points] for name in names}
    sections = [("Throughput", throughput), ("Latency, packet sent to frame received", latency)]
    if stages:
        sections.append(("Time of a frame in each stage", bar_chart(xs, stages, "sessions", "ms")))
    body = "\n".join(f"<h2>{escape(title)}</h2>\n<figure>{chart}</figure>" for title, chart in sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>segclient bench</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>segclient bench</h1>\n{_conditions(conditions)}\n{body}\n"
        f"<h2>Figures</h2>\n{_table(points)}{_limits(points)}</body></html>\n"
    )


def row_of(point: Point) -> tuple[str, ...]:
    """Return a point's cells, in the order of the columns."""
    latencies = (f"{point.latency_ms[name]:.1f}" for name in ("p50", "p95", "p99"))
    busy = f"{100 * point.client_busy:.0f}"
    return (str(point.sessions), f"{point.frames_per_second:.1f}", *latencies, str(point.dropped), busy)


def as_text(points: Sequence[Point]) -> str:
    """Return the table for a terminal, and a line where the client was the limit."""
    rows = [_COLUMNS, *(row_of(point) for point in points)]
    return "\n".join([*("  ".join(cell.rjust(9) for cell in row) for row in rows), *client_limits(points)])


def client_limits(points: Sequence[Point]) -> list[str]:
    """Return a sentence on the points where the client can hardly do more; none where there is no such point."""
    busy = [str(point.sessions) for point in points if point.client_busy >= _BUSY]
    if not busy:
        return []
    return [f"With {', '.join(busy)} sessions this client was the limit: several at once show what the service can do."]


def _conditions(conditions: Mapping[str, str]) -> str:
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in conditions.items())
    return f"<dl>{entries}</dl>"


def _limits(points: Sequence[Point]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in client_limits(points))


def _table(points: Sequence[Point]) -> str:
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row_of(point))}</tr>" for point in points)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
