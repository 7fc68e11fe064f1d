"""`segclient doctor` against real servers: each way in which a user fails is named, with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segtriton_server.launch import LaunchSettings, TritonProcess

SEGCLIENT = Path(sys.executable).with_name("segclient")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def doctor(*options: object) -> tuple[int, dict[str, dict[str, Any]]]:
    """The status, and the findings by their step."""
    command = [str(part) for part in (SEGCLIENT, "doctor", "--json", *options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert not done.stderr
    return done.returncode, {finding["step"]: finding for finding in json.loads(done.stdout)}


def assert_ends_with(found: dict[str, dict[str, Any]], step: str, words: str, remedy: str) -> None:
    """All steps are well but the last, which says what is wrong and what to do."""
    *before, last = found.values()
    assert all(finding["well"] for finding in before)
    assert not last["well"]
    assert last["step"] == step
    assert words in last["found"]
    assert remedy in last["remedy"]


def test_a_healthy_server_is_well_in_all_steps(server: TritonProcess) -> None:
    status, found = doctor("--endpoint", server.grpc_address)
    assert status == 0
    assert list(found) == ["name", "port", "encryption", "server", "models", "session", "codecs", "frames"]
    assert "segtriton-server" in found["session"]["found"]
    assert "encoder libx264" in found["codecs"]["found"]
    assert "all 25 came back" in found["frames"]["found"]


def test_a_person_reads_lines_with_remedies_below() -> None:
    command = [str(SEGCLIENT), "doctor", "--endpoint", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    first, second, third = done.stdout.splitlines()
    assert first.startswith("ok      name")
    assert second.startswith("not ok  port        1: Connection refused")
    assert third.strip().startswith("Check that the server runs")


@pytest.mark.parametrize(
    ("endpoint", "step", "words", "remedy"),
    [
        ("nonsense", "name", "not HOST:PORT", "--endpoint"),
        ("nowhere.invalid:8001", "name", "has no address", "DNS"),
        ("127.0.0.1:1", "port", "refused", "gRPC port"),
    ],
)
def test_what_is_wrong_before_a_server_is_met(endpoint: str, step: str, words: str, remedy: str) -> None:
    status, found = doctor("--endpoint", endpoint)
    assert status == 1
    assert_ends_with(found, step, words, remedy)


def test_another_port_and_another_network_are_named(server: TritonProcess) -> None:
    _, found = doctor("--endpoint", f"127.0.0.1:{server.settings.http_port}")
    assert_ends_with(found, "server", "", "gRPC port")
    _, found = doctor("--endpoint", server.grpc_address, "--network", "unknown")
    assert_ends_with(found, "models", "ready are: selfie, selfie_streaming", "--network")


def test_a_missing_token_is_named(server_settings: Callable[..., LaunchSettings], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    with TritonProcess(server_settings(workers=1, token_file=token)) as server:
        status, found = doctor("--endpoint", server.grpc_address)
        assert_ends_with(found, "session", "UNAUTHENTICATED", "--token")
        assert status == 1
        assert doctor("--endpoint", server.grpc_address, "--token-file", token)[0] == 0


def test_certificates_are_judged(guarded_server: tuple[TritonProcess, Path]) -> None:
    server, certificate = guarded_server
    port = server.settings.grpc_port
    status, found = doctor("--endpoint", f"localhost:{port}", "--ca-file", certificate)
    assert status == 0
    assert found["encryption"]["found"] == "TLS, trusted, the certificate holds 10 days more"
    assert "Renew" in found["encryption"]["remedy"]
    _, found = doctor("--endpoint", f"127.0.0.1:{port}", "--ca-file", certificate)
    assert_ends_with(found, "encryption", "not trusted: IP address mismatch", "a name that the certificate has")
    _, found = doctor("--endpoint", f"localhost:{port}", "--ca-file", CERTIFICATES)
    assert_ends_with(found, "encryption", "not trusted: self-signed certificate", "--ca-file")
    _, found = doctor("--endpoint", f"localhost:{port}")
    assert_ends_with(found, "server", "", "")


def test_tls_where_there_is_none_is_named(server: TritonProcess) -> None:
    _, found = doctor("--endpoint", server.grpc_address, "--ca-file", CERTIFICATES)
    assert_ends_with(found, "encryption", "does not speak TLS", "leave out --ca-file")
