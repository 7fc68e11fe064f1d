"""Real servers, started once for all tests of a run; a conftest.py takes the fixtures that its folder needs."""

import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.error import URLError

import pytest
from self_signed import make_certificate

from segtriton_server.launch import LaunchSettings, TritonProcess

ROOT = Path(__file__).parents[2]
SLOTS = 10

StartServer = Callable[..., TritonProcess]


def metrics_of(server: TritonProcess) -> dict[str, float]:
    """The project's metrics: `name{labels}` to value."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(server.metrics_url, timeout=10) as response:
                text = response.read().decode()
        except URLError:  # Triton opens this port a moment after it says that it is ready
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return {name: float(value) for name, value in re.findall(r"^(segtriton_\S+) (\S+)$", text, re.MULTILINE)}


def start_together(servers: Sequence[TritonProcess]) -> None:
    """Start servers, and wait until each is ready."""
    for server in servers:
        server.start()
    for server in servers:
        server.wait_ready()


def on_free_ports(log_path: Path, triton_args: tuple[str, ...] = (), **settings: object) -> LaunchSettings:
    """Settings of a server on free ports; keywords are settings of the models.

    x264 has the same threads whoever else is there, so that a session can be compared with itself alone to the bit.
    """
    settings = {"encoder_threads": 2} | settings
    return LaunchSettings(
        model_repository=ROOT / "triton_models",
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        networks=ROOT / ".assets" / "networks",
        log_path=log_path,
        triton_args=triton_args,
        environment={f"SEGTRITON_{name.upper()}": str(value) for name, value in settings.items()},
    )


@pytest.fixture(scope="session")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LaunchSettings]:
    """Builds the settings of a server on free ports; keywords are settings of the models, or for Triton."""

    def build(triton_args: tuple[str, ...] = (), **settings: object) -> LaunchSettings:
        return on_free_ports(tmp_path_factory.mktemp("server") / "triton.log", triton_args, **settings)

    return build


@pytest.fixture(scope="session")
def server(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    """The server that most tests share: two workers, both models."""
    with TritonProcess(server_settings(workers=2, stream_slots=SLOTS)) as running:
        yield running


@pytest.fixture(scope="session")
def small_server(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    """A server with two slots that loses patience soon."""
    with TritonProcess(server_settings(workers=1, stream_slots=2, idle_timeout=5, window_packets=16)) as running:
        yield running


@pytest.fixture(scope="session")
def read_metrics() -> Callable[[TritonProcess], dict[str, float]]:
    """Reads the project's metrics: `name{labels}` to value."""

    return metrics_of


@pytest.fixture(scope="session")
def guarded_server(
    server_settings: Callable[..., LaunchSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TritonProcess, Path]]:
    """A server with TLS that tells its statistics to those who have the key; and its certificate, good for ten days."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    certificate = make_certificate(file, datetime.now(timezone.utc) + timedelta(days=10))
    arguments = (
        "--grpc-use-ssl=true",
        f"--grpc-server-cert={certificate}",
        f"--grpc-server-key={certificate}",
        "--grpc-restricted-protocol=statistics:segtriton-admin-key=secret",
    )
    with TritonProcess(replace(server_settings(workers=1), triton_args=arguments)) as running:
        yield running, certificate
