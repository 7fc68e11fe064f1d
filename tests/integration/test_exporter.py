"""The exporter as a process, beside real servers: a healthy one, one that hangs, one that is gone."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from process_tree import wait_until

from segtriton_server.launch import TritonProcess

EXPORTER = Path(sys.executable).with_name("segtriton-exporter")
GONE = "127.0.0.1:1"
PATIENCE = 30.0

Read = Callable[..., dict[str, float]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def exporter(log: Path, *arguments: object) -> Iterator[Read]:
    """Runs the exporter; gives a function that reads one of its pages, by metric with labels."""
    port = free_port()
    command = [EXPORTER, "--address", "127.0.0.1", "--port", port, *arguments]
    with log.open("w") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT)

    def read(page: str = "/metrics") -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=20) as answer:
                text = answer.read().decode()
        except urllib.error.URLError:
            assert process.poll() is None, log.read_text()
            return {}
        return {name: float(value) for name, value in re.findall(r"^(segtriton_.*) (\S+)$", text, re.MULTILINE)}

    try:
        yield read
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


def place(target: str, address: str = "") -> str:
    return f'address="{address or target}",target="{target}"'


@pytest.fixture
def hung() -> Iterator[str]:
    """Something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_healthy_hung_and_gone_targets_are_told_apart(server: TritonProcess, hung: str, tmp_path: Path) -> None:
    healthy = server.grpc_address
    targets = [argument for target in (hung, healthy, GONE) for argument in ("--target", target)]
    # As many sessions at once as targets, and the hung one would take longer than the test.
    slow = ("--timeout", 50, "--interval", 1)
    with exporter(tmp_path / "log", *targets, *slow) as read:
        ok = f"segtriton_probe_success{{{place(healthy)}}}"
        gone = f'segtriton_probe_failure{{address="{GONE}",code="UNAVAILABLE",target="{GONE}"}}'
        assert wait_until(lambda: ok in read() and gone in read(), PATIENCE), (tmp_path / "log").read_text()
        page = read()
        assert page[ok] == 1, (tmp_path / "log").read_text()
        assert page[gone] == 1
        assert not [name for name in page if name.startswith("segtriton_probe_success") and hung in name]
        assert page[f'segtriton_probe_frames{{address="{healthy}",outcome="out",target="{healthy}"}}'] == 25
        named = f'address="{healthy}",model="selfie_streaming",target="{healthy}",version="1"'
        assert page[f"segtriton_triton_model_ready{{{named}}}"] == 1
        assert page[f"segtriton_probe_slots{{{place(healthy)}}}"] == 10
        sessions = f'segtriton_probe_sessions_total{{outcome="ok",target="{healthy}"}}'
        assert page[sessions] >= 1


def test_a_probe_of_a_hung_target_is_an_answer(server: TritonProcess, hung: str, tmp_path: Path) -> None:
    with exporter(tmp_path / "log", "--allow", "127.0.0.*", "--timeout", 8) as read:
        assert wait_until(lambda: bool(read(f"/probe?target={server.grpc_address}")), PATIENCE)
        probed = read(f"/probe?target={server.grpc_address}")
        assert probed["segtriton_probe_success"] == 1
        assert any('encoder="libx264"' in name for name in probed)
        assert read(f"/probe?target={hung}")['segtriton_probe_failure{code="TIMEOUT"}'] == 1
        assert read(f"/probe?target={GONE}")['segtriton_probe_failure{code="UNAVAILABLE"}'] == 1
        assert read("/probe?target=example.com:1") == {}


def test_certificate_and_guarded_statistics_are_read(
    guarded_server: tuple[TritonProcess, Path], tmp_path: Path
) -> None:
    server, certificate = guarded_server
    key = tmp_path / "key"
    key.write_text("secret\n")
    port = server.grpc_address.rpartition(":")[2]
    target = f"dns:///localhost:{port}"
    trusting = ("--target", target, "--ca-file", certificate)
    where = place(target, f"127.0.0.1:{port}")
    log = tmp_path / "log"
    statistics = f"segtriton_triton_statistics{{{where}}}"
    with exporter(log, *trusting, "--admin-key-file", key) as read:
        assert wait_until(lambda: statistics in read(), PATIENCE), log.read_text()
        page = read()
        assert page[statistics] == 1
        assert page[f"segtriton_probe_success{{{where}}}"] == 1, log.read_text()
        ends = datetime.fromtimestamp(page[f"segtriton_probe_certificate_expiry_timestamp_seconds{{{where}}}"])
        assert timedelta(days=9) < ends - datetime.now() < timedelta(days=11)
    with exporter(log, *trusting) as read:
        assert wait_until(lambda: statistics in read(), PATIENCE), log.read_text()
        assert read()[statistics] == 0, "the key is asked for"


def test_a_name_without_addresses_is_a_failure(tmp_path: Path) -> None:
    target = "dns:///nowhere.invalid:8001"
    with exporter(tmp_path / "log", "--target", target) as read:
        failure = f'segtriton_probe_failure{{address="",code="NO_ADDRESS",target="{target}"}}'
        assert wait_until(lambda: read().get(failure) == 1, PATIENCE), (tmp_path / "log").read_text()
        assert read()[f'segtriton_probe_sessions_total{{outcome="failed",target="{target}"}}'] >= 1
