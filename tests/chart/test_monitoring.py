"""The alerts, run by promtool, and the dashboards: their queries parse and name metrics that exist."""

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chart_tools import CHART, ROOT, Helm, run
from known_metrics import names_in, unknown_metrics

ALERTS_TEST = Path(__file__).with_name("alerts_test.yaml")
RUNBOOK = ROOT / "docs" / "kubernetes.md"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
VARIABLES = {
    "$__rate_interval": "5m",
    "$load": "segtriton_active_streams",
    "$capacity": "4",
    "$target": "3",
    "$latency": "0.5",
}


@pytest.fixture
def rules(helm3: Helm, tmp_path: Path) -> Path:
    """The rules as a file of Prometheus, which is what the object has under `spec`."""
    memory = "shm.size=512Mi,resources.requests.memory=2Gi,resources.limits.memory=2Gi"
    values = f"load.capacityPerPod=4,{memory},autoscaling.kind=keda,autoscaling.maxReplicas=2,exporter.enabled=true"
    runbooks = "monitoring.rules.runbookUrl=https://runbooks.example.com"
    rendered = helm3.render("--set", f"{values},{runbooks}", "--show-only", "templates/monitoring/prometheusrule.yaml")
    file = tmp_path / "rules.yaml"
    file.write_text(textwrap.dedent(rendered.partition("\nspec:\n")[2]))
    return file


def test_the_rules_are_ones_that_prometheus_takes(promtool: str, rules: Path) -> None:
    result = run(promtool, "check", "rules", rules)
    assert result.status == 0, result.output + result.errors
    assert "24 rules found" in result.output


def test_each_alert_fires_when_it_should_and_only_then(promtool: str, rules: Path) -> None:
    test = rules.with_name("alerts_test.yaml")
    test.write_text(ALERTS_TEST.read_text())
    result = run(promtool, "test", "rules", test)
    assert result.status == 0, result.output + result.errors


def test_each_alert_is_tested_and_has_a_remedy(rules: Path) -> None:
    alerts = set(re.findall(r"alert: (\w+)", rules.read_text()))
    assert set(re.findall(r"alertname: (\w+)", ALERTS_TEST.read_text())) == alerts
    anchors = set(re.findall(r"^#+ (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert alerts <= anchors


def test_the_rules_name_metrics_that_exist(rules: Path) -> None:
    assert_metrics_exist(rules.read_text())


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_each_query_of_a_dashboard_parses(promtool: str, path: Path, tmp_path: Path) -> None:
    recorded = []
    for number, query in enumerate(queries(path)):
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        recorded.append({"record": f"panel:{number}", "expr": query})
    file = tmp_path / "panels.yaml"
    file.write_text(json.dumps({"groups": [{"name": path.stem, "rules": recorded}]}))
    result = run(promtool, "check", "rules", file)
    assert result.status == 0, result.output + result.errors


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_names_metrics_that_exist(path: Path) -> None:
    assert_metrics_exist("\n".join(queries(path)))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_says_what_each_panel_means(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert all(panel["description"] and panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(identities) == len(set(identities))


def queries(path: Path) -> list[str]:
    def find(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("expr"), str):
                yield node["expr"]
            for child in node.values():
                yield from find(child)
        elif isinstance(node, list):
            for child in node:
                yield from find(child)

    found = list(find(json.loads(path.read_text())))
    assert found
    return found


def assert_metrics_exist(text: str) -> None:
    assert names_in(text)
    assert not unknown_metrics(text)


def test_a_metric_that_nobody_exports_is_found() -> None:
    assert unknown_metrics('rate(segtriton_frames_totals{pod="a"}[5m])') == {"segtriton_frames_totals"}
    assert unknown_metrics("sum(DCGM_FI_DEV_DECODER{})") == {"DCGM_FI_DEV_DECODER"}


def test_the_dashboards_are_what_the_code_says() -> None:
    result = run(sys.executable, "-m", "dashboards", "--check", environment={"PYTHONPATH": str(CHART.parent)})
    assert result.status == 0, result.errors


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_variables_of_a_dashboard_are_its_own(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert len(names) == len(set(names))
    used = {name for query in queries(path) for name in re.findall(r"\$(\w+)", query)} - {"__rate_interval"}
    assert used <= set(names)
    assert dashboard["links"][0]["includeVars"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_no_panel_covers_another(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


UNITS = {
    r"histogram_quantile\(.*_seconds_bucket": {"s"},
    r"^(?!.*container_cpu)[^/]*_seconds(_total)?\{[^/]*$": {"s"},
    r"^[^/]*_bytes\{[^/]*$": {"bytes"},
    r"_PCIE_.X_BYTES": {"Bps"},
    r"_UTIL\{|_ACTIVE\{|nv_gpu_utilization|stream_load\{": {"percentunit"},
    r"_total\{.* / .*_total\{": {"percentunit"},
}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_panel_has_the_unit_of_what_it_shows(path: Path) -> None:
    for panel in json.loads(path.read_text())["panels"]:
        for target in panel.get("targets", []):
            for pattern, units in UNITS.items():
                if re.search(pattern, target["expr"]):
                    assert panel["fieldConfig"]["defaults"]["unit"] in units, panel["title"]
