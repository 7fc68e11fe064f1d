import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segtriton_server.launch import LaunchSettings, TritonProcess, triton_process
from segtriton_server.launch.errors import ModelNotFoundError, ServerExitedError
from segtriton_server.launch.triton_process import KEEPALIVE, build_command, with_free_ports

MakeSettings = Callable[..., LaunchSettings]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_is_ready_inside_and_gone_after(make_settings: MakeSettings) -> None:
    with TritonProcess(make_settings()) as server:
        pid = server.pid
        assert server.is_ready()
        assert server.poll() is None

    assert server.poll() == 0
    assert not is_running(pid)
    assert not server.is_ready()


def test_the_log_goes_to_its_file(make_settings: MakeSettings) -> None:
    with TritonProcess(make_settings()) as server:
        assert server.log_path
        assert "fake triton" in server.log_path.read_text()


def test_a_server_that_ends_at_once_is_reported_with_its_log(make_settings: MakeSettings) -> None:
    with pytest.raises(ServerExitedError, match="ended with status 3 before it was ready") as caught:
        TritonProcess(make_settings("ends")).__enter__()

    assert caught.value.log_tail == "fake triton ends"


def test_a_server_that_never_gets_ready_is_stopped(make_settings: MakeSettings) -> None:
    server = TritonProcess(make_settings("never ready", ready_timeout_seconds=0.5))

    with pytest.raises(ServerExitedError, match=r"not ready after 0\.5 s"):
        server.__enter__()

    assert server.poll() == 0


def test_a_server_that_does_not_stop_is_killed(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_process, "EXIT_GRACE_SECONDS", 0.2)
    with TritonProcess(make_settings("deaf", exit_timeout_seconds=0)) as server:
        pass

    assert server.poll() == -signal.SIGKILL


def test_nothing_that_the_server_started_outlives_it(make_settings: MakeSettings, tmp_path: Path) -> None:
    with TritonProcess(make_settings("leaves a child")):
        child = int((tmp_path / "child.pid").read_text())
        assert is_running(child)

    deadline = time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)


def test_stopping_again_gives_the_same_status(make_settings: MakeSettings) -> None:
    with TritonProcess(make_settings()) as server:
        pass

    assert server.stop() == server.stop() == 0


def test_a_server_that_was_not_started_says_so(make_settings: MakeSettings) -> None:
    with pytest.raises(RuntimeError, match="not been started"):
        TritonProcess(make_settings()).stop()


def test_nothing_starts_when_a_check_fails(make_settings: MakeSettings) -> None:
    server = TritonProcess(make_settings(models=("absent",)))

    with pytest.raises(ModelNotFoundError):
        server.start()

    assert server.log_path
    assert not server.log_path.exists()


def test_free_ports_are_all_different() -> None:
    settings = with_free_ports(LaunchSettings(Path("models"), grpc_port=0, http_port=0, metrics_port=0))

    assert len({settings.grpc_port, settings.http_port, settings.metrics_port, 0}) == 4


def test_no_two_servers_of_a_program_get_the_same_port() -> None:
    servers = [with_free_ports(LaunchSettings(Path("models"), grpc_port=0)) for _ in range(1000)]

    assert len({server.grpc_port for server in servers}) == len(servers)


def test_named_ports_are_kept() -> None:
    settings = LaunchSettings(Path("models"), grpc_port=9001)

    assert with_free_ports(settings) == settings


@pytest.mark.parametrize(
    ("address", "grpc_address", "http_url", "metrics_url"),
    [
        ("127.0.0.1", "127.0.0.1:8001", "http://127.0.0.1:8000", "http://127.0.0.1:8002/metrics"),
        ("0.0.0.0", "127.0.0.1:8001", "http://127.0.0.1:8000", "http://127.0.0.1:8002/metrics"),
        ("::", "[::1]:8001", "http://[::1]:8000", "http://[::1]:8002/metrics"),
    ],
    ids=["loopback", "all", "all of IPv6"],
)
def test_addresses_are_those_a_client_can_use(address: str, grpc_address: str, http_url: str, metrics_url: str) -> None:
    server = TritonProcess(LaunchSettings(Path("models"), address=address))

    assert (server.grpc_address, server.http_url, server.metrics_url) == (grpc_address, http_url, metrics_url)


def test_command_line() -> None:
    settings = LaunchSettings(
        Path("/models"),
        models=("a", "b"),
        log_level="warning",
        admin_key="k",
        triton_args=("--backend-config=python,x=1",),
    )

    assert build_command(Path("/t"), Path("/b"), settings) == [
        "/t",
        "--model-repository=/models",
        "--backend-directory=/b",
        "--model-control-mode=explicit",
        "--load-model=a",
        "--load-model=b",
        "--disable-auto-complete-config",
        "--grpc-address=127.0.0.1",
        "--grpc-port=8001",
        "--grpc-header-forward-pattern=(authorization|segtriton-.*)",
        "--http-address=127.0.0.1",
        "--http-port=8000",
        "--http-header-forward-pattern=(authorization|segtriton-.*)",
        "--metrics-address=127.0.0.1",
        "--metrics-port=8002",
        "--exit-timeout-secs=10",
        *KEEPALIVE,
        "--grpc-restricted-protocol=shared-memory,model-config,model-repository,statistics,trace,logging:segtriton-admin-key=k",
        "--http-restricted-api=shared-memory,model-config,model-repository,statistics,trace,logging:segtriton-admin-key=k",
        "--log-info=false",
        "--backend-config=python,x=1",
    ]
