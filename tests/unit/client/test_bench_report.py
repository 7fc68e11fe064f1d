import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from segtriton_client.bench import Point, percentiles, stage_means
from segtriton_client.bench_report import as_text, write_report
from segtriton_client.svg_chart import bar_chart, line_chart, round_up
from segtriton_protocol import Ended

POINTS = [
    Point(1, 25.0, {"p50": 10.0, "p95": 20.0, "p99": 21.0}, 0, {"decode": 1.0, "encode": 3.0}, 0.204),
    Point(4, 90.0, {"p50": 12.0, "p95": 40.0, "p99": 55.5}, 2, {"decode": 1.5, "encode": 5.0}, 0.91),
]


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.03, 0.05), (1, 1), (1.2, 2), (2.2, 2.5), (31, 50), (99, 100), (357.6, 500)]
)
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_lines_go_where_their_values_are() -> None:
    chart = ElementTree.fromstring(line_chart([1, 2, 4], {"a": [0, 50, 100], "b<": [100, 100, 100]}, "sessions", "ms"))
    rising, flat = (line.get("points", "").split() for line in chart.findall("polyline"))
    heights = [float(point.split(",")[1]) for point in rising]
    assert heights == sorted(heights, reverse=True)
    assert heights[1] == pytest.approx((heights[0] + heights[2]) / 2)
    assert {point.split(",")[1] for point in flat} == {rising[-1].split(",")[1]}
    assert "b<" in [text.text for text in chart.findall("text")]


def test_bars_stand_on_each_other() -> None:
    chart = ElementTree.fromstring(bar_chart([1], {"a": [4], "b": [6]}, "sessions", "ms"))
    lower, upper = chart.findall("rect")[:2]
    assert float(upper.get("y", 0)) + float(upper.get("height", 0)) == pytest.approx(float(lower.get("y", 0)))
    assert float(upper.get("height", 0)) / float(lower.get("height", 0)) == pytest.approx(1.5, rel=0.01)


class Balance(HTMLParser):
    """Every tag that opens closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nobody() -> None:
    page = write_report(POINTS, {"clip": "<a>.mp4"})
    parser = Balance()
    parser.feed(page)
    assert not parser.open
    assert page.count("<svg") == 3
    assert "&lt;a&gt;.mp4" in page
    assert "With 4 sessions this client was the limit" in page
    assert not re.search(r"<script|https?://|<link", page)


def test_a_terminal_gets_a_table() -> None:
    head, first, second, limit = as_text(POINTS).splitlines()
    assert head.split()[:2] == ["sessions", "frames/s"]
    assert first.split() == ["1", "25.0", "10.0", "20.0", "21.0", "0", "20"]
    assert second.split() == ["4", "90.0", "12.0", "40.0", "55.5", "2", "91"]
    assert "With 4 sessions this client was the limit" in limit
    assert len(as_text(POINTS[:1]).splitlines()) == 2


def test_figures_are_added_up() -> None:
    assert percentiles([0.01] * 10) == {"p50": 10.0, "p95": 10.0, "p99": 10.0}
    assert percentiles([]) == {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    ends = [Ended(1, 1, {}, "", {"decode": 1.0}), Ended(1, 1, {}, "", {"decode": 2.0})]
    assert stage_means(ends) == {"decode": 1.5}
