from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from segtriton_server.settings import Settings
from segtriton_server.workers.process_usage import ProcessUsage, find_excess, read_usage

GIB = 1 << 30
SETTINGS = Settings(worker_memory_bytes=GIB, stream_slots=16, decoder_threads=4)

# Written to and then made read-only, memory is none of those that RLIMIT_DATA counts.
HIDDEN = """
import ctypes, mmap, sys, threading, time
memory = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.write(bytes(len(memory)))
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert ctypes.CDLL(None).mprotect(ctypes.c_size_t(address), ctypes.c_size_t(len(memory)), mmap.PROT_READ) == 0
for _ in range(20):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(flush=True)
sys.stdin.read()
"""


def test_memory_and_threads_of_a_process() -> None:
    command = [sys.executable, "-c", HIDDEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        usage = read_usage(process.pid)
        process.communicate()

    assert usage is not None
    assert usage.threads == 21
    assert 64 << 20 < usage.memory_bytes < 200 << 20


def test_a_process_that_ended_uses_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet waited for
        assert read_usage(process.pid) is None
    assert read_usage(process.pid) is None


def test_what_sessions_can_take_is_no_excess() -> None:
    assert find_excess(ProcessUsage(threads=400, memory_bytes=GIB), SETTINGS) == ""
    assert find_excess(ProcessUsage(threads=900, memory_bytes=GIB), replace(SETTINGS, encoder_threads=16)) == ""


def test_excess_is_named() -> None:
    assert "4000 threads" in find_excess(ProcessUsage(threads=4000, memory_bytes=0), SETTINGS)
    assert "worker_memory_bytes" in find_excess(ProcessUsage(threads=1, memory_bytes=2 * GIB), SETTINGS)


def test_what_is_not_bounded_is_no_excess() -> None:
    usage = ProcessUsage(threads=1, memory_bytes=2 * GIB)

    assert find_excess(usage, Settings(worker_memory_bytes=0)) == ""
    assert find_excess(usage, Settings(worker_memory_bytes=GIB, accelerator="gpu")) == ""
    assert find_excess(ProcessUsage(4000, 2 * GIB), Settings(worker_memory_bytes=GIB, confinement="off")) == ""
