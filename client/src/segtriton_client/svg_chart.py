"""Small charts as SVG, for reports that are one file and need no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLORS = ("#2563eb", "#d97706", "#dc2626", "#059669", "#7c3aed", "#0891b2")
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 72
_STEPS = (1, 2, 2.5, 5, 10)
_LINES = 5

Series = Mapping[str, Sequence[float]]


def line_chart(xs: Sequence[int], series: Series, x_label: str, unit: str) -> str:
    """Return lines over `xs`, which are set apart evenly; every series has a value for each."""
    top = round_up(max(max(values) for values in series.values()))
    places = [_place(index, len(xs)) for index in range(len(xs))]
    drawn = []
    for color, values in zip(_cycle(len(series)), series.values(), strict=True):
        points = [(x, _level(value, top)) for x, value in zip(places, values, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>' for x, y in points]
    return _frame(xs, places, series, top, x_label, unit, drawn)


def bar_chart(xs: Sequence[int], series: Series, x_label: str, unit: str) -> str:
    """Return bars over `xs`, each stacked of all series."""
    sums = [sum(values[index] for values in series.values()) for index in range(len(xs))]
    top = round_up(max(sums))
    places = [_place(index, len(xs)) for index in range(len(xs))]
    width = min(56.0, 0.6 * (_WIDTH - _LEFT - _RIGHT) / len(xs))
    drawn = []
    below = [0.0] * len(xs)
    for color, values in zip(_cycle(len(series)), series.values(), strict=True):
        for index, value in enumerate(values):
            y, bottom = _level(below[index] + value, top), _level(below[index], top)
            place = f'x="{places[index] - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{bottom - y:.1f}"'
            drawn.append(f'<rect {place} fill="{color}"/>')
            below[index] += value
    return _frame(xs, places, series, top, x_label, unit, drawn)


def round_up(value: float) -> float:
    """Return the least of 1, 2, 2.5, 5, 10, 20 ... that is not less; 1 for nothing."""
    if value <= 0:
        return 1.0
    scale = 1.0
    while scale * _STEPS[-1] < value:
        scale *= 10
    while scale >= value:
        scale /= 10
    return next(scale * step for step in _STEPS if scale * step >= value)


def _frame(
    xs: Sequence[int],
    places: Sequence[float],
    series: Series,
    top: float,
    x_label: str,
    unit: str,
    drawn: Sequence[str],
) -> str:
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="12" fill="currentColor">']
    for line in range(_LINES + 1):
        value = top * line / _LINES
        y = _level(value, top)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    axis = _HEIGHT - _BOTTOM + 18
    parts += [
        f'<text x="{x:.1f}" y="{axis}" text-anchor="middle">{name}</text>' for x, name in zip(places, xs, strict=True)
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{axis + 18}" text-anchor="middle">{escape(x_label)}</text>')
    across = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text transform="translate(14 {across}) rotate(-90)" text-anchor="middle">{escape(unit)}</text>')
    parts += [*drawn, *_legend(list(series)), "</svg>"]
    return "\n".join(parts)


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    width = (_WIDTH - _LEFT - _RIGHT) / len(names)
    for number, (color, name) in enumerate(zip(_cycle(len(names)), names, strict=True)):
        x, y = _LEFT + number * width, _HEIGHT - 12
        parts.append(f'<rect x="{x:.1f}" y="{y - 10}" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{x + 18:.1f}" y="{y}">{escape(name)}</text>')
    return parts


def _cycle(count: int) -> list[str]:
    return [COLORS[number % len(COLORS)] for number in range(count)]


def _place(index: int, count: int) -> float:
    return _LEFT + (index + 0.5) * (_WIDTH - _LEFT - _RIGHT) / count


def _level(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)
