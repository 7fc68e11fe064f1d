"""What processes use, read from /proc, and how fast the machine is."""

import os
import timeit
from collections import defaultdict
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def processor_name() -> str:
    """What the machine's processor calls itself."""
    lines = (PROC / "cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def core_speed() -> float:
    """How many million passes of an empty loop a core's interpreter makes a second.

    Hosts differ by two, and one whose cores are shared with others by as much from minute to minute.
    """
    passes = 2_000_000
    return passes / min(timeit.repeat("for _ in range(passes): pass", globals={"passes": passes}, number=1)) / 1e6


def tree(root: int) -> list[int]:
    """A process and all that came from it."""
    children = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def cpu_seconds_by_role(root: int) -> dict[str, float]:
    """Processor time so far of a server's processes: `tritonserver`, `stub` of each model together, `workers`."""
    seconds: dict[str, float] = defaultdict(float)
    for pid in tree(root):
        if fields := _stat(pid):
            seconds[_role(pid, root)] += (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return dict(seconds)


def proportional_bytes(root: int) -> int:
    """Memory of a process tree; what several of its processes share counts once."""
    return sum(_proportional_bytes(pid) for pid in tree(root))


def _role(pid: int, root: int) -> str:
    if pid == root:
        return "tritonserver"
    return "workers" if b"worker" in _read(PROC / str(pid) / "cmdline") else "stubs"


def _proportional_bytes(pid: int) -> int:
    for line in _read(PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[bytes]:
    """The fields after the name: state, parent, ..."""
    return _read(PROC / str(pid) / "stat").rpartition(b") ")[2].split()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
