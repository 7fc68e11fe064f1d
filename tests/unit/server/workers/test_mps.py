import stat
import subprocess
import sys
from pathlib import Path

import pytest

from segtriton_server.settings import Settings
from segtriton_server.workers import mps
from segtriton_server.workers.mps import is_shared_by_mps, start_mps

GPU = Settings(accelerator="gpu", python=sys.executable)

# The daemon in the foreground, and the client that tells it to quit; both find each other in the pipe directory.
DAEMON = """#!/bin/sh
if [ "$1" = -f ]; then
    echo $$ >"$CUDA_MPS_PIPE_DIRECTORY/pid"
    while [ ! -e "$CUDA_MPS_PIPE_DIRECTORY/quit" ]; do sleep 0.05; done
else
    read word && [ "$word" = quit ] && touch "$CUDA_MPS_PIPE_DIRECTORY/quit"
fi
"""


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nvidia-cuda-mps-control"
    path.write_text(DAEMON)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(mps, "_PROBE", "import os; open(os.environ['CUDA_MPS_PIPE_DIRECTORY'] + '/asked', 'w')")
    return path


def test_the_service_runs_until_it_is_closed(daemon: Path) -> None:
    started = start_mps(GPU, {})

    assert started is not None
    assert is_shared_by_mps(started, {})
    folder = Path(started.environment["CUDA_MPS_PIPE_DIRECTORY"])
    assert (folder / "asked").exists()
    process = started._process
    started.close()
    assert process.poll() == 0
    assert not folder.exists()


def test_one_that_does_not_answer_is_killed(daemon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mps, "_STOP_SECONDS", 0.3)
    started = start_mps(GPU, {})
    assert started is not None
    daemon.write_text("#!/bin/sh\nexit 0\n")

    started.close()

    assert started._process.returncode is not None


def test_one_that_gives_no_context_is_not_used(
    daemon: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mps, "_PROBE", "exit(1)")

    assert start_mps(GPU, {}) is None
    assert "does not work here" in caplog.text


def test_a_machine_without_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert start_mps(GPU, {}) is None
    assert "is not here" in caplog.text


def test_one_that_the_node_offers_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a second one was started"))
    outside = {"CUDA_MPS_PIPE_DIRECTORY": "/mps"}

    assert start_mps(GPU, outside) is None
    assert is_shared_by_mps(None, outside)


@pytest.mark.parametrize("settings", [Settings(), Settings(accelerator="gpu", mps=False)])
def test_nobody_gets_it_who_did_not_ask(settings: Settings, daemon: Path) -> None:
    assert start_mps(settings, {}) is None
