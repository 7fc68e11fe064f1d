"""The alerts, run by promtool, and the dashboards: their queries parse and name metrics that exist."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chart_tools import CHART, ROOT, Helm, run

from segtriton_server.observability.metrics import _FAMILIES

ALERTS_TEST = Path(__file__).with_name("alerts_test.yaml")
RUNBOOK = ROOT / "docs" / "kubernetes.md"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
# Of Triton itself and of the kubelet.
OTHERS = ("nv_", "container_")
VARIABLES = {"$__rate_interval": "5m", "$load": "segtriton_active_streams", "$capacity": "4", "$target": "3"}


@pytest.fixture
def rules(helm3: Helm, tmp_path: Path) -> Path:
    """The rules as a file of Prometheus, which is what the object has under `spec`."""
    values = "accelerator=cpu,autoscaling.kind=keda,autoscaling.maxReplicas=2"
    runbooks = "monitoring.rules.runbookUrl=https://runbooks.example.com"
    rendered = helm3.render("--set", f"{values},{runbooks}", "--show-only", "templates/monitoring/prometheusrule.yaml")
    file = tmp_path / "rules.yaml"
    file.write_text(textwrap.dedent(rendered.partition("\nspec:\n")[2]))
    return file


def test_the_rules_are_ones_that_prometheus_takes(promtool: str, rules: Path) -> None:
    result = run(promtool, "check", "rules", rules)
    assert result.status == 0, result.output + result.errors
    assert "10 rules found" in result.output


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
    """Each name before a brace is a metric of the server, of Triton or of the kubelet."""
    names = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"([a-z_]+)\{", text)}
    unknown = {name for name in names - set(_FAMILIES) if not name.startswith(OTHERS) and name != "load"}
    assert names
    assert not unknown
