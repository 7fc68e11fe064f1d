"""What a confined process still can do, and what not: each tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, resource, signal, socket, subprocess, sys, tempfile, threading
from segtriton_server.settings import Settings
from segtriton_server.workers.confinement import confine
before = threading.Event()
after = []
thread = threading.Thread(target=lambda: (before.wait(), after.append({act})) if {in_thread} else None)
thread.start()
print(confine(Settings(**{settings})))
before.set()
thread.join()
if not {in_thread}:
    {act}
print("done")
"""
ALL = "no new privileges, memory, system calls"


def attempt(act: str, *, in_thread: bool = False, **settings: object) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(act=act, in_thread=in_thread, settings=settings)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)


FORBIDDEN = {
    "a socket": "socket.socket()",
    "a local socket": "socket.socket(socket.AF_UNIX)",
    "a program": "subprocess.run(['/bin/true'])",
    "another program in its place": "os.execv('/bin/true', ['true'])",
    "a process": "os.fork()",
    "a signal to its parent": "os.kill(os.getppid(), 0)",
    "its parent's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "another time of a file": "os.utime('/tmp')",
    "a new file": "open('/tmp/segtriton-confined', 'w')",
    "an old file": "open(sys.argv[0] or os.__file__, 'r+')",
    "a file that goes": "os.unlink('/tmp/none')",
    "a folder": "os.mkdir('/tmp/segtriton-confined')",
    "another name": "os.rename('/tmp/none', '/tmp/none2')",
    "a file in memory": "os.memfd_create('x')",
    "other rights": "os.chmod('/tmp', 0o777)",
}


@pytest.mark.parametrize("act", FORBIDDEN.values(), ids=FORBIDDEN)
def test_it_cannot_have(act: str) -> None:
    done = attempt(act)

    assert done.stdout == f"{ALL}\n"
    assert "PermissionError" in done.stderr


@pytest.mark.parametrize("act", ["socket.socket()", "os.fork()"])
def test_nor_can_threads_that_were_there_before(act: str) -> None:
    assert "PermissionError" in attempt(act, in_thread=True).stderr


ALLOWED = {
    "threads": "[t.start() or t.join() for t in [threading.Thread(target=print)]]",
    "files to read": "open('/proc/self/status').read()",
    "late imports": "__import__('xml.dom.minidom')",
    "limits of its own": "resource.getrlimit(resource.RLIMIT_NOFILE)",
    "memory": "bytearray(1 << 26)",
    "an end of its own": "sys.exit(0) if threading.main_thread() else None",
}


@pytest.mark.parametrize("act", ALLOWED.values(), ids=ALLOWED)
def test_it_still_has(act: str) -> None:
    done = attempt(act)

    assert done.returncode == 0, done.stderr


def test_an_abort_is_still_an_abort() -> None:
    assert attempt("os.abort()").returncode == -6


def test_memory_is_bounded() -> None:
    assert "MemoryError" in attempt("bytearray(1 << 30)", worker_memory_bytes=1 << 29).stderr


def test_on_a_gpu_only_privileges_are_taken() -> None:
    done = attempt("socket.socket()", accelerator="gpu")
    assert done.stdout.splitlines() == ["no new privileges", "done"]

    assert "PermissionError" in attempt("socket.socket()", accelerator="gpu", confinement="full").stderr


def test_it_can_be_left_off() -> None:
    assert attempt("os.unlink('/tmp/none')", confinement="off").stdout == "nothing\n"


READING = """
import os, sys, tempfile
from pathlib import Path, PosixPath
from segtriton_server.settings import Settings
from segtriton_server.workers.readable_files import restrict_files
print(restrict_files(Settings(**{settings})))
{act}
"""


def read(act: str, networks: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    script = READING.format(act=act, settings={"networks": networks, **settings})
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("act", ["open({secret!r})", "open(f'/proc/{{os.getppid()}}/mem')", "os.listdir('/dev/shm')"])
def test_it_cannot_read(act: str, tmp_path: Path) -> None:
    secret = tmp_path / "key.pem"
    secret.write_text("secret")

    assert "PermissionError" in read(act.format(secret=str(secret)), tmp_path / "networks").stderr
    assert read(act.format(secret=str(secret)), tmp_path, confinement="off").stderr == ""


@pytest.mark.parametrize("act", ["open({network!r})", "__import__('xml.dom.minidom')", "open('/proc/cpuinfo')"])
def test_it_can_read(act: str, tmp_path: Path) -> None:
    networks = tmp_path / "networks"
    networks.mkdir()
    (tmp_path / "weights").write_text("weights")
    network = networks / "selfie.tflite"
    network.symlink_to(tmp_path / "weights")

    done = read(act.format(network=str(network)), networks)
    assert (done.stdout, done.stderr) == ("True\n", "")
