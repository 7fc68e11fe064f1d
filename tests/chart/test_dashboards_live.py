"""Every panel of the dashboards, asked of a real Prometheus that scrapes a real service under load and the exporter."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from chart_tools import CHART, ROOT
from known_metrics import ELSEWHERE, names_in
from lab import packages
from process_tree import worker_pids
from self_signed import make_certificate

from dashboards.__main__ import DASHBOARDS
from dashboards.grafana import LOAD
from segtriton_server.launch import LaunchSettings, TritonProcess

pytestmark = pytest.mark.timeout(300)

CLIP = ROOT / ".assets" / "clips" / "carphone_pristine.mp4"
NAMESPACE, POD = "video", "live-segtriton-5d9f-aaaaa"
VARIABLES = {"$__rate_interval": "20s", "$namespace": NAMESPACE, "$pod": ".+", "$probed": ".+", "$capacity": "4"}
VARIABLES |= {"$target": "3", "$load": LOAD["load"], "$latency": "0.5"}
PATIENCE = 120
# What a value can be, by the unit that a panel gives it.
RANGES = {"percentunit": (0, 1.5), "s": (0, 30 * 86400), "ops": (0, 1e4), "short": (0, 1e4), "none": (0, 1e4)}


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    board: str
    panel: str
    unit: str
    expr: str

    def __str__(self) -> str:
        return f"{self.board} / {self.panel}: {self.expr}"

    @property
    def needs_more(self) -> bool:
        """Whether it asks for what only a GPU or a cluster can tell."""
        return bool(names_in(self.expr) & ELSEWHERE)


def asked() -> list[Asked]:
    found = []
    for board in DASHBOARDS:
        for panel in (panel for row in board.rows for panel in row.panels):
            for query in panel.queries:
                expr = query.expr
                for name, value in VARIABLES.items():
                    expr = expr.replace(name, value)
                found.append(Asked(board.name, panel.title, panel.unit, expr))
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def process(log: Path, *command: object) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        running = subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(30)


class Prometheus:
    """A Prometheus of this machine, asked over HTTP."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/query?query="

    def ask(self, expr: str) -> list[float]:
        """The values of an instant query that are numbers; a query that Prometheus refuses is an error."""
        with urllib.request.urlopen(self._url + urllib.parse.quote(expr), timeout=30) as answer:
            content = json.load(answer)
        assert content["status"] == "success", content
        values = [float(series["value"][1]) for series in content["data"]["result"]]
        return [value for value in values if not math.isnan(value)]


class Load:
    """Sessions, raw frames, a refusal and a worker that dies, again and again."""

    def __init__(self, server: TritonProcess, certificate: Path, folder: Path) -> None:
        self._server = server
        self._command = [
            Path(sys.executable).with_name("segclient"),
            "--endpoint",
            f"localhost:{server.settings.grpc_port}",
        ]
        self._command = [*self._command, "--ca-file", certificate, CLIP, "-o"]
        self._folder = folder
        self._over = threading.Event()
        self.statuses: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
        work = (("-sv", "--live"), ("-sv",), ("-b", "8"), ("-sv", "--class-name", "unicorn"))
        self._threads = [
            threading.Thread(target=self._repeat, args=(str(number), options)) for number, options in enumerate(work)
        ]
        self._threads.append(threading.Thread(target=self._kill_workers))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, name: str, options: tuple[str, ...]) -> None:
        while not self._over.is_set():
            command = [*self._command, self._folder / f"{name}.mp4", "--resume-seconds", "5", *options]
            done = subprocess.run([str(part) for part in command], capture_output=True, check=False, timeout=120)
            self.statuses[options].add(done.returncode)
            self._over.wait(0.5)

    def _kill_workers(self) -> None:
        while not self._over.wait(6):
            with contextlib.suppress(ProcessLookupError, IndexError):
                os.kill(worker_pids(self._server.pid)[0], signal.SIGKILL)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a service with TLS under load, and its exporter."""
    packages.ensure(packages.PROMETHEUS)
    binary = shutil.which("prometheus", path=packages.search_path())
    folder = tmp_path_factory.mktemp("live")
    certificate = make_certificate(folder / "server.pem", datetime.now(timezone.utc) + timedelta(days=10))
    settings = LaunchSettings(
        model_repository=ROOT / "triton_models",
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        networks=ROOT / ".assets" / "networks",
        log_path=folder / "triton.log",
        environment={"SEGTRITON_WORKERS": "2"},
        triton_args=(
            "--grpc-use-ssl=true",
            f"--grpc-server-cert={certificate}",
            f"--grpc-server-key={certificate}",
            "--metrics-interval-ms=500",
        ),
    )
    exporter_port, port = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(TritonProcess(settings))
        target = f"dns:///localhost:{server.settings.grpc_port}"
        exporter = (
            Path(sys.executable).with_name("segtriton-exporter"),
            "--address",
            "127.0.0.1",
            "--ca-file",
            certificate,
        )
        how = (
            "--port",
            exporter_port,
            "--target",
            target,
            "--target",
            "127.0.0.1:1",
            "--interval",
            "2",
            "--frames",
            "8",
        )
        stack.enter_context(process(folder / "exporter.log", *exporter, *how))
        (folder / "prometheus.yml").write_text(json.dumps(configuration(server.settings.metrics_port, exporter_port)))
        where = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
        command = (binary, *where, f"--web.listen-address=127.0.0.1:{port}")
        stack.enter_context(process(folder / "prometheus.log", *command))
        load = stack.enter_context(Load(server, certificate, folder))
        yield Prometheus(port)
    # Each has ended by now, the last run of each included.
    assert 0 in load.statuses["-sv",], load.statuses
    assert 0 in load.statuses["-b", "8"], load.statuses


def configuration(metrics_port: int, exporter_port: int) -> dict[str, object]:
    """Labels as the Prometheus operator gives them."""
    jobs = {metrics_port: POD, exporter_port: "live-segtriton-exporter-6c8d-bbbbb"}
    scraped = [
        {
            "job_name": pod,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": NAMESPACE, "pod": pod}}],
        }
        for port, pod in jobs.items()
    ]
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": scraped}


def fits(query: Asked, values: list[float]) -> bool:
    least, most = RANGES[query.unit]
    return bool(values) and all(least <= value <= most for value in values)


def test_every_panel_has_data_of_its_unit(prometheus: Prometheus) -> None:
    waiting = [query for query in asked() if not query.needs_more]
    assert len(waiting) > 50
    answers: dict[Asked, list[float]] = {}
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        time.sleep(1)
        with contextlib.suppress(OSError):
            answers |= {query: prometheus.ask(query.expr) for query in waiting}
            waiting = [query for query in waiting if not fits(query, answers[query])]
    assert not waiting, "\n".join(f"{query} -> {answers.get(query)}" for query in waiting)


def test_panels_for_a_gpu_or_a_cluster_are_queries_that_prometheus_takes(prometheus: Prometheus) -> None:
    for query in asked():
        if query.needs_more:
            prometheus.ask(query.expr)


def test_the_chart_hands_out_these_dashboards() -> None:
    files = {path.stem for path in (CHART / "dashboards").glob("*.json")}
    assert files == {board.name for board in DASHBOARDS}
