"""What a process can still read, and what not: each tried in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import break_in
import pytest

from segtriton_server.workers import landlock
from segtriton_server.workers.kernel_calls import system_call

READING = """
import os, socket, sys, threading
from pathlib import Path, PosixPath
from segtriton_server.settings import Settings
from segtriton_server.workers.landlock import restrict_files
{before}
print(restrict_files(Settings(**{settings})))
{act}
"""


def read(act: str, networks: Path, before: str = "", **settings: object) -> subprocess.CompletedProcess[str]:
    script = READING.format(act=act, before=before, settings={"networks": networks, **settings})
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)


def refused(statements: str) -> set[str]:
    command = [sys.executable, break_in.__file__, "FILES_TO_READ", statements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_it_reads_nothing_of_others() -> None:
    restrict = (
        "from segtriton_server.settings import Settings; "
        "from segtriton_server.workers.landlock import restrict_files; restrict_files(Settings())"
    )

    assert refused(restrict) == set(break_in.FILES_TO_READ)
    assert refused("") <= break_in.MAY_BE_REFUSED


def test_it_cannot_read_a_key(tmp_path: Path) -> None:
    secret = tmp_path / "key.pem"
    secret.write_text("secret")
    act = f"open({str(secret)!r})"

    assert "PermissionError" in read(act, tmp_path / "networks").stderr
    assert read(act, tmp_path, confinement="off").stderr == ""


@pytest.mark.parametrize("act", ["open({network!r})", "__import__('xml.dom.minidom')", "open('/proc/cpuinfo')"])
def test_it_can_read(act: str, tmp_path: Path) -> None:
    networks = tmp_path / "networks"
    networks.mkdir()
    (tmp_path / "weights").write_text("weights")
    network = networks / "selfie.tflite"
    network.symlink_to(tmp_path / "weights")

    done = read(act.format(network=str(network)), networks)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    ("since", "act"),
    [
        (6, "os.kill(os.getppid(), 0)"),
        (6, "socket.socket(socket.AF_UNIX).connect(listener.getsockname())"),
        (4, "socket.create_connection(server.getsockname())"),
        (1, "os.open('/dev/null', os.O_WRONLY)"),
    ],
)
def test_what_a_newer_kernel_refuses_as_well(since: int, act: str, tmp_path: Path) -> None:
    before = (
        "server = socket.create_server(('127.0.0.1', 0)); listener = socket.socket(socket.AF_UNIX); "
        "listener.bind('\\0segtriton-test-' + str(os.getpid())); listener.listen()"
    )
    # What is scoped is a domain: the process is let into its own, and so it listens before it is in one.
    is_refused = "PermissionError" in read(act, tmp_path, before).stderr

    assert is_refused == (system_call(444, None, 0, 1) >= since)
    assert "PermissionError" not in read(act, tmp_path, before, confinement="off").stderr


def test_threads_that_it_would_miss_are_an_error(tmp_path: Path) -> None:
    done = read("go.set()", tmp_path, "go = threading.Event(); threading.Thread(target=go.wait, daemon=True).start()")

    is_missed = system_call(444, None, 0, 1) < 8
    assert ("OPENBLAS_NUM_THREADS" in done.stderr) == is_missed


@pytest.mark.parametrize(("version", "length"), [(1, 8), (3, 8), (4, 16), (6, 24), (9, 24)])
def test_each_version_of_the_interface_is_asked_for_what_it_knows(version: int, length: int) -> None:
    assert len(landlock._ruleset(version)) == length


def test_on_a_gpu_only_when_all_is_to_be_taken(tmp_path: Path) -> None:
    assert read("open('/etc/passwd')", tmp_path, accelerator="gpu").stdout == "False\n"
    assert "PermissionError" in read("open('/etc/passwd')", tmp_path, accelerator="gpu", confinement="full").stderr


def test_compiled_kernels_can_be_kept(tmp_path: Path) -> None:
    cache = tmp_path / "compiled"
    cache.mkdir()
    settings = {"accelerator": "gpu", "confinement": "full", "compile_cache": str(cache)}
    write = "from segtriton_server.device.compile_cache import write_whole; write_whole(Path({folder!r}, 'x'), b'x')"

    done = read(write.format(folder=str(cache)), tmp_path, **settings)
    assert (done.stderr, (cache / "x").read_bytes()) == ("", b"x")
    assert "PermissionError" in read(write.format(folder=str(tmp_path)), tmp_path, **settings).stderr
