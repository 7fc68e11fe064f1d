"""What is taken from a process by which setting: each tried in a process of its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import mmap, os, resource, socket
from segtriton_server.settings import Settings
from segtriton_server.workers.confinement import confine
print(confine(Settings(**{settings})))
{act}
print("done")
"""
ALL = "no new privileges, limits, system calls"


def attempt(act: str, **settings: object) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(act=act, settings=settings)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)


def test_it_loses_all_that_decoding_needs_not() -> None:
    done = attempt("socket.socket()")

    assert done.stdout == f"{ALL}\n"
    assert "PermissionError" in done.stderr


def test_memory_is_bounded() -> None:
    assert "MemoryError" in attempt("bytearray(1 << 30)", worker_memory_bytes=1 << 29).stderr


def test_address_space_is_bounded_even_where_it_is_only_read() -> None:
    act = "mmap.mmap(-1, 100 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)"

    assert "Cannot allocate memory" in attempt(act, worker_memory_bytes=1 << 29).stderr
    assert attempt(act, worker_memory_bytes=0).returncode == 0


def test_files_are_bounded_and_no_limit_rises_again() -> None:
    act = "print(resource.getrlimit(resource.RLIMIT_NOFILE)); resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))"
    done = attempt(act)

    assert done.stdout.splitlines()[1] == "(1024, 1024)"
    assert "Error: not allowed" in done.stderr or "PermissionError" in done.stderr


def test_on_a_gpu_only_privileges_are_taken() -> None:
    done = attempt("socket.socket()", accelerator="gpu")
    assert done.stdout.splitlines() == ["no new privileges", "done"]

    assert "PermissionError" in attempt("socket.socket()", accelerator="gpu", confinement="full").stderr


def test_it_can_be_left_off() -> None:
    assert attempt("socket.socket()", confinement="off").stdout == "nothing\ndone\n"
