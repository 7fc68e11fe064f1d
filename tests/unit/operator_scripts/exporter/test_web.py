from __future__ import annotations

import concurrent.futures
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from exporter_looks import seen
from prometheus_client import CollectorRegistry, Gauge

from segtriton_ops.exporter.results import Observation
from segtriton_ops.exporter.targets import Target
from segtriton_ops.exporter.web import Application, ProbeRefusedError

HEALTHY = {"alive": True, "ready": False}


class Asked:
    """Stands in for the exporter behind the pages."""

    def __init__(self) -> None:
        self.patience = 0.0

    def probe_once(self, target: Target, seconds: float) -> Observation:
        self.patience = seconds
        if target.host == "busy":
            raise concurrent.futures.TimeoutError
        if target.host == "foreign":
            raise ProbeRefusedError("foreign is not watched")
        return seen("TIMEOUT" if target.host == "hung" else "")


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def application(asked: Asked) -> Application:
    registry = CollectorRegistry()
    Gauge("up_to_date", "A metric.", registry=registry).set(3)
    return Application(registry, asked.probe_once, lambda: HEALTHY["alive"], lambda: HEALTHY["ready"], 10)


def get(application: Application, path: str, query: str = "", **headers: str) -> tuple[int, str]:
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": "GET", **headers}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    body = b"".join(application(environ, lambda status, headers: statuses.append(status)))
    return int(statuses[0].split()[0]), body.decode()


def test_metrics_are_those_of_the_registry(application: Application) -> None:
    status, page = get(application, "/metrics")
    assert status == 200
    assert "up_to_date 3.0" in page


def test_a_probe_answers_with_its_own_metrics_also_when_it_failed(application: Application) -> None:
    assert "segtriton_probe_success 1.0" in get(application, "/probe", "target=pod:1")[1]
    status, page = get(application, "/probe", "target=hung:1")
    assert status == 200
    assert "segtriton_probe_success 0.0" in page
    assert "up_to_date" not in page


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("target=pod", 400), ("target=a:1&target=b:1", 400), ("target=foreign:1", 403), ("target=busy:1", 503)],
)
def test_what_cannot_be_probed_is_refused(application: Application, query: str, status: int) -> None:
    assert get(application, "/probe", query)[0] == status


@pytest.mark.parametrize(("header", "patience"), [("6", 5.5), ("60", 10), ("soon", 10), ("0.2", 0.1)])
def test_a_probe_ends_before_prometheus_gives_up(
    application: Application, asked: Asked, header: str, patience: float
) -> None:
    get(application, "/probe", "target=pod:1", HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS=header)
    assert asked.patience == patience


def test_kubernetes_is_told_what_it_asks(application: Application) -> None:
    assert get(application, "/-/healthy")[0] == 200
    assert get(application, "/-/ready")[0] == 503
    assert get(application, "/")[0] == 404
    assert get(application, "/metrics", REQUEST_METHOD="POST")[0] == 405
