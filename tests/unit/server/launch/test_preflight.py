import importlib.metadata
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from segtriton_server.launch.errors import ModelNotFoundError, NumpyVersionError, PortInUseError, StubError
from segtriton_server.launch.installation import LIBPYTHON, PYTHON_VERSION, STUB_NAME, TritonInstallation
from segtriton_server.launch.preflight import (
    check_models,
    check_numpy,
    check_port,
    check_stub,
    warn_of_little_shared_memory,
)
from segtriton_server.launch.settings import LaunchSettings


def installation_with_stub(root: Path, script: str) -> TritonInstallation:
    stub = root / "backends" / "python" / STUB_NAME
    stub.parent.mkdir(parents=True)
    stub.write_text(f"#!/bin/sh\n{script}\n")
    stub.chmod(0o755)
    return TritonInstallation(binary=root / "bin/tritonserver", backends=root / "backends", stubs=None)


def test_a_stub_that_asks_for_arguments_is_fine(tmp_path: Path) -> None:
    check_stub(installation_with_stub(tmp_path, "exit 1"), {})


def test_a_stub_without_libpython_names_the_package(tmp_path: Path) -> None:
    script = f"echo 'error while loading shared libraries: {LIBPYTHON}: cannot open' >&2; exit 127"

    with pytest.raises(StubError, match=f"apt-get install libpython{PYTHON_VERSION}"):
        check_stub(installation_with_stub(tmp_path, script), {})


def test_a_stub_that_fails_otherwise_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(StubError, match="does not run: no luck"):
        check_stub(installation_with_stub(tmp_path, "echo no luck >&2; exit 126"), {})


def test_a_stub_that_may_not_be_executed(tmp_path: Path) -> None:
    installation = installation_with_stub(tmp_path, "exit 1")
    installation.stub.chmod(0o644)

    with pytest.raises(StubError, match="Permission denied"):
        check_stub(installation, {})


@pytest.mark.parametrize(
    ("version", "is_from_wheel", "is_refused"),
    [("1.26.4", True, False), ("2.0.0", True, True), ("2.4.1", True, True), ("2.4.1", False, False)],
)
def test_numpy_2_is_refused_for_the_wheel_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_from_wheel: bool, is_refused: bool
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: version)
    installation = TritonInstallation(tmp_path, tmp_path, stubs=tmp_path if is_from_wheel else None)

    if is_refused:
        with pytest.raises(NumpyVersionError, match=rf"empty tensors with NumPy 2, and {version} is installed"):
            check_numpy(installation)
    else:
        check_numpy(installation)


def test_a_missing_numpy_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)

    with pytest.raises(NumpyVersionError, match="NumPy is missing"):
        check_numpy(TritonInstallation(tmp_path, tmp_path, stubs=None))


def test_an_unknown_model_is_answered_with_those_there_are(tmp_path: Path) -> None:
    for name in ("selfie", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").touch()
    (tmp_path / ".cache").mkdir()

    check_models(LaunchSettings(model_repository=tmp_path, models=("selfie",)))
    with pytest.raises(ModelNotFoundError, match=r"no model selfy .*\(there is: other, selfie\)"):
        check_models(LaunchSettings(model_repository=tmp_path, models=("selfy",)))


def test_a_missing_folder_of_networks(tmp_path: Path) -> None:
    settings = LaunchSettings(model_repository=tmp_path, models=(), networks=tmp_path / "none")

    with pytest.raises(ModelNotFoundError, match="no folder of networks"):
        check_models(settings)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_names_the_option(taken_port: int) -> None:
    with pytest.raises(PortInUseError, match=f"Port {taken_port} on 127.0.0.1 .* choose another with --grpc-port"):
        check_port("127.0.0.1", taken_port, "--grpc-port")


def test_an_address_of_another_machine() -> None:
    with pytest.raises(PortInUseError, match="Cannot assign requested address"):
        check_port("192.0.2.1", 8001, "--grpc-port")


@pytest.mark.parametrize(("free_mebibytes", "is_warned"), [(64, True), (256, False)])
def test_little_shared_memory_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    free_mebibytes: int,
    is_warned: bool,
) -> None:
    blocks = free_mebibytes * 256
    state = os.statvfs_result((4096, 4096, blocks, blocks, blocks, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _folder: state)

    with caplog.at_level(logging.WARNING):
        warn_of_little_shared_memory(tmp_path)

    assert ("--shm-size" in caplog.text) == is_warned
