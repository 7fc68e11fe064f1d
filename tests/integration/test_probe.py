"""A router that is dead, stands still or drains is seen by the probe, though Triton calls it live and ready."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from authorities import Authority
from process_tree import descendants, wait_until
from raw_client import RawStream, read_clip, stream_clip

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.services.drain_order import DrainOrder
from segtriton_server.services.keep_order import KeepOrder

MAX_AGE = "4"
Probe = Callable[..., bool]


# The kernel counts processes' starts in hundredths of a second.
SEVERAL_TICKS = 0.1


@pytest.fixture
def beating(server_settings: Callable[..., LaunchSettings], tmp_path: Path) -> TritonProcess:
    files = {f"{name}_file": tmp_path / name for name in ("heartbeat", "drain")}
    return TritonProcess(server_settings(workers=1, **files))


@pytest.fixture
def is_well(tmp_path: Path) -> Probe:
    files = {f"SEGTRITON_{name.upper()}_FILE": str(tmp_path / name) for name in ("heartbeat", "drain")}
    environment = {**os.environ, **files}

    def probe(server: TritonProcess, what: str, *more: object) -> bool:
        command = [sys.executable, "-m", "segtriton_server.probe", what]
        options = ["--http-url", server.http_url, "--max-age", MAX_AGE, "--server-pid", str(server.pid)]
        return (
            subprocess.run([*command, *options, *map(str, more)], env=environment, check=False, timeout=20).returncode
            == 0
        )

    return probe


def router_pid(server: TritonProcess) -> int:
    return next(
        pid
        for pid in descendants(server.pid)
        if b"selfie_streaming/1/model.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "standing still"])
def test_a_router_that_does_not_work_is_seen(beating: TritonProcess, is_well: Probe, what: signal.Signals) -> None:
    with beating as server:
        assert wait_until(lambda: is_well(server, "live") and is_well(server, "ready"))
        router = router_pid(server)
        os.kill(router, what)
        try:
            assert wait_until(lambda: not is_well(server, "live") and not is_well(server, "ready"))
        finally:
            if what is signal.SIGSTOP:
                os.kill(router, signal.SIGCONT)
        if what is signal.SIGSTOP:
            assert wait_until(lambda: is_well(server, "live") and is_well(server, "ready"))
            clip = read_clip("carphone_pristine.mp4").head(20)
            assert stream_clip(server.grpc_address, clip).pts == clip.pts


def test_a_server_that_drains_is_not_ready_but_lives(beating: TritonProcess, is_well: Probe, tmp_path: Path) -> None:
    with beating as server:
        assert wait_until(lambda: is_well(server, "live") and is_well(server, "ready"))
        DrainOrder(str(tmp_path / "drain")).write()
        assert not is_well(server, "ready")
        assert is_well(server, "live")

        (tmp_path / "drain").unlink()
        assert is_well(server, "ready")


def test_orders_to_an_earlier_life_of_the_pod_are_void(beating: TritonProcess, is_well: Probe, tmp_path: Path) -> None:
    DrainOrder(str(tmp_path / "drain")).write(migrate_within=0)
    KeepOrder(str(tmp_path / "drain")).write(0, seconds=600)
    time.sleep(SEVERAL_TICKS)
    with beating as server:
        clip = read_clip("carphone_pristine.mp4").head(20)
        assert stream_clip(server.grpc_address, clip).pts == clip.pts
        assert wait_until(lambda: is_well(server, "ready"))

        DrainOrder(str(tmp_path / "drain")).write()
        assert not is_well(server, "ready")
        assert wait_until(lambda: refusal(server) is ErrorCode.DRAINING)


def refusal(server: TritonProcess) -> ErrorCode | None:
    with RawStream(server.grpc_address) as stream:
        try:
            stream.open(read_clip("carphone_pristine.mp4"))
        except SegtritonError as error:
            return error.code
    return None


def test_a_server_with_certificates_that_were_renewed_wants_to_be_restarted(
    server_settings: Callable[..., LaunchSettings], is_well: Probe, tmp_path: Path
) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()

    def renew() -> None:
        identity = Authority(tmp_path).issue("server")
        identity.certificate.replace(folder / "tls.crt")
        identity.key.replace(folder / "tls.key")

    def serve() -> TritonProcess:
        tls = (f"--grpc-server-cert={folder}/tls.crt", f"--grpc-server-key={folder}/tls.key")
        time.sleep(SEVERAL_TICKS)
        return TritonProcess(server_settings(("--grpc-use-ssl=true", *tls), workers=1, heartbeat_file=beat))

    def lives(server: TritonProcess) -> bool:
        return is_well(server, "live", "--certificates", folder, "--renewal-spread", 0)

    beat = tmp_path / "heartbeat"
    renew()
    with serve() as server:
        assert wait_until(lambda: lives(server))
        renew()
        assert not lives(server)
        assert is_well(server, "ready"), "it serves until it drains"
    with serve() as server:
        assert wait_until(lambda: lives(server))
        host, _, port = server.grpc_address.partition(":")
        shown = ssl.get_server_certificate((host, int(port)))
        assert shown.split() == (folder / "tls.crt").read_text().split()


def test_a_server_that_is_gone(beating: TritonProcess, is_well: Probe) -> None:
    with beating as server:
        assert wait_until(lambda: is_well(server, "ready"))
        server.kill()
        assert wait_until(lambda: not is_well(server, "live"))
