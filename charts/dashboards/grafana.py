"""Grafana's JSON: panels, their places, variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# What a dashboard says until the chart puts a release's own values there: those of one H100, see values.yaml.
LOAD = {"load": "segtriton_active_streams", "capacity": "32", "target": "24", "latency": "0.5"}
_LABELS = {
    "load": "Load",
    "capacity": "Capacity of a pod",
    "target": "Target of a pod",
    "latency": "Latency limit",
}
GREEN, ORANGE, RED = "green", "orange", "red"


@dataclass(frozen=True)
class Query:
    """One query and how its series are called; {{label}} stands for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel of any type.

    `thresholds` are (colour, where it begins); a name of `LOAD` in place of a number stands for the release's value.
    """

    type: str
    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    width: int = 8
    height: int = 8
    thresholds: Sequence[tuple[str, float | str]] = ()
    defaults: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)

    def to_json(self, identity: int, x: int, y: int) -> Json:
        """The panel at its place."""
        place = {"h": self.height, "w": self.width, "x": x, "y": y}
        defaults = {"unit": self.unit, **self.defaults}
        panel: Json = {"id": identity, "type": self.type, "title": self.title, "description": self.description}
        panel |= {"datasource": SOURCE, "gridPos": place, "options": self.options}
        if self.thresholds:
            defaults["thresholds"] = {"mode": "absolute", "steps": self._steps()}
            # For the chart, which knows what the names stand for; Grafana does not read it.
            panel["thresholdNames"] = [start if isinstance(start, str) else "" for _, start in self.thresholds]
        panel["fieldConfig"] = {"defaults": defaults, "overrides": []}
        panel["targets"] = [self._target(number, query) for number, query in enumerate(self.queries)]
        return panel

    def _steps(self) -> list[Json]:
        base = {"color": GREEN, "value": None}
        values = [float(LOAD[start]) if isinstance(start, str) else start for _, start in self.thresholds]
        return [
            base,
            *({"color": color, "value": value} for (color, _), value in zip(self.thresholds, values, strict=True)),
        ]

    def _target(self, number: int, query: Query) -> Json:
        target: Json = {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query.expr}
        target["legendFormat"] = query.legend
        if self.type == "stat":
            target["instant"] = True
        if self.type == "heatmap":
            target["format"] = "heatmap"
        return target


def stat(title: str, description: str, unit: str, expr: str, **more: Any) -> Panel:
    """One number; coloured where it has thresholds."""
    mode = {"color": {"mode": "thresholds"}} if more.get("thresholds") else {}
    options = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    size = {"width": 4, "height": 4}
    return Panel("stat", title, description, unit, [Query(expr)], defaults=mode, options=options, **(size | more))


def graph(title: str, description: str, unit: str, *queries: Query, stacked: bool = False, **more: Any) -> Panel:
    """Lines over time; thresholds are drawn as lines, too."""
    custom: Json = {"lineWidth": 1, "fillOpacity": 25 if stacked else 8, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal"}
    if more.get("thresholds"):
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    defaults = {"min": 0, "custom": custom}
    return Panel("timeseries", title, description, unit, queries, defaults=defaults, options=options, **more)


def heatmap(title: str, description: str, unit: str, expr: str, **more: Any) -> Panel:
    """How a histogram's values lie, over time; the colour is how many there are."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "scale": "exponential", "exponent": 0.5},
        "cellGap": 1,
        "yAxis": {"unit": unit},
        "tooltip": {"mode": "single", "yHistogram": True},
    }
    return Panel("heatmap", title, description, unit, [Query(expr, "{{le}}")], options=options, **more)


@dataclass(frozen=True)
class Row:
    """A heading over panels."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """A whole dashboard, named `segtriton-NAME`."""

    name: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Json]

    def to_json(self) -> Json:
        """What Grafana imports."""
        return {
            "uid": f"segtriton-{self.name}",
            "title": f"segtriton: {self.title}",
            "description": self.description,
            "tags": ["segtriton"],
            "editable": True,
            "schemaVersion": 39,
            "version": 1,
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "graphTooltip": 1,
            "templating": {"list": [datasource(), *self.variables, *(constant(name) for name in LOAD)]},
            "annotations": {"list": []},
            "links": [_links()],
            "panels": list(self._panels()),
        }

    def _panels(self) -> Iterator[Json]:
        identity = y = 0
        for row in self.rows:
            identity += 1
            yield _heading(identity, row.title, y)
            y, x, tallest = y + 1, 0, 0
            for panel in row.panels:
                if x + panel.width > WIDTH:
                    x, y, tallest = 0, y + tallest, 0
                identity += 1
                yield panel.to_json(identity, x, y)
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest


def _heading(identity: int, title: str, y: int) -> Json:
    place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
    return {"id": identity, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _links() -> Json:
    """To the other dashboards, with the same time and the same variables."""
    return {
        "type": "dashboards",
        "title": "segtriton",
        "tags": ["segtriton"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def datasource() -> Json:
    """Which Prometheus is asked."""
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def label_values(name: str, label: str, selector: str, *, several: bool = False) -> Json:
    """A variable whose values are those of a label; with `several` all of them unless chosen otherwise."""
    query = {"query": f"label_values({selector}, {label})", "refId": name}
    variable: Json = {"name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE, "query": query}
    variable |= {"refresh": 2, "sort": 1}
    if several:
        every = {"text": "All", "value": "$__all"}
        variable |= {"includeAll": True, "multi": True, "allValue": ".+", "current": every}
    return variable


def constant(name: str) -> Json:
    """A value of the release's that the chart fills in."""
    variable = {"name": name, "label": _LABELS[name], "type": "constant", "query": LOAD[name]}
    return {**variable, "hide": 2, "skipUrlSync": True}
