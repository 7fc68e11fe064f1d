"""What the processes of a server hold, read from /proc."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SHARED = re.compile(rb"/dev/shm/\S+")


@dataclass(frozen=True)
class Holdings:
    """What a server and all that it started hold together; `model_threads` leaves Triton's own out."""

    resident_bytes: int
    files: int
    threads: int
    model_threads: int
    shared_memory_entries: int


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def worker_pids(server_pid: int) -> list[int]:
    """The workers among a server's processes."""
    return [pid for pid in descendants(server_pid) if b"worker_process" in _read(pid, "cmdline")]


def resident_bytes(pid: int) -> int:
    """What a process holds in memory; 0 once it is gone."""
    return 1024 * _field(_read(pid, "status").decode(), "VmRSS:")


def holdings(server_pid: int) -> Holdings:
    pids = descendants(server_pid)
    status = [_read(pid, "status").decode() for pid in pids]
    return Holdings(
        resident_bytes=sum(map(resident_bytes, pids)),
        files=sum(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) for pid in pids),
        threads=sum(_field(text, "Threads:") for text in status),
        model_threads=sum(_field(text, "Threads:") for text in status[1:]),
        shared_memory_entries=len({name for pid in pids for name in _SHARED.findall(_read(pid, "maps"))}),
    )


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether the condition comes true in time, on a busy machine, too."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _field(status: str, name: str) -> int:
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith(name)), 0)
