"""What a filtered process still can do, and what not: each tried in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import break_in
import pytest

FILTER = "from segtriton_server.workers import seccomp, kernel_calls; kernel_calls.take_no_new_privileges(); "
SCRIPT = """
import ctypes, os, resource, sys, threading
import break_in
{statements}
seccomp.filter_system_calls()
{act}
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False
    )


def refused(group: str, statements: str) -> set[str]:
    done = run(break_in.__file__, group, statements)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def after_filtering(act: str, before: str = "") -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    return run("-c", path + SCRIPT.format(statements=FILTER + before, act=act))


def test_what_decoding_needs_not_is_refused() -> None:
    assert refused("SYSTEM_CALLS", FILTER + "seccomp.filter_system_calls()") == set(break_in.SYSTEM_CALLS)
    assert refused("KERNEL", FILTER + "seccomp.filter_system_calls()") == set(break_in.KERNEL)


def test_without_the_filter_the_same_acts_reach_the_kernel() -> None:
    assert refused("SYSTEM_CALLS", "") <= break_in.MAY_BE_REFUSED


def test_a_gpus_libraries_get_device_files_and_nothing_of_others() -> None:
    refusals = refused("SYSTEM_CALLS", FILTER + "seccomp.filter_system_calls(has_device=True)")

    assert set(break_in.PROCESSES) <= refusals
    assert "shared memory" not in refusals  # CUDA pins memory in it
    assert "an old file" not in refusals  # Landlock lets it be a device only


def test_threads_that_were_there_before_are_filtered_too() -> None:
    waiting = "go = threading.Event(); thread = threading.Thread(target=lambda: (go.wait(), os.memfd_create('x')))"
    done = after_filtering("go.set(); thread.join()", f"{waiting}; thread.start()")

    assert "PermissionError" in done.stderr


ALLOWED = {
    "threads": "[t.start() or t.join() for t in [threading.Thread(target=print)]]",
    "files to read": "open('/proc/self/status').read()",
    "late imports": "__import__('xml.dom.minidom')",
    "libraries that load late": "__import__('_sqlite3'); __import__('lzma'); __import__('decimal')",
    "limits to read": "resource.getrlimit(resource.RLIMIT_NOFILE)",
    "its own cores": "os.sched_getaffinity(0)",
    "memory": "bytearray(1 << 26)",
    "random numbers": "os.urandom(16)",
    "an end of its own": "sys.exit(0)",
}


@pytest.mark.parametrize("act", ALLOWED.values(), ids=ALLOWED)
def test_it_still_has(act: str) -> None:
    done = after_filtering(act)

    assert done.returncode == 0, done.stderr


def test_an_abort_is_still_an_abort() -> None:
    assert after_filtering("os.abort()").returncode == -6


def test_the_c_library_may_fall_back_from_calls_that_are_newer_than_it_knows() -> None:
    done = after_filtering(
        "for number in (435, 437, 600):\n"
        "    try: break_in.system_call(number)\n"
        "    except OSError as error: print(error.errno == 38)"
    )

    assert done.stdout.split() == ["True"] * 3, done.stderr
