"""When a process started: what is older than the server was meant for an earlier life of its pod."""

from __future__ import annotations

import os
import time
from pathlib import Path

# proc_pid_stat(5): field 22 of all, and the second one may hold blanks and brackets of its own.
_START_AFTER_NAME = 22 - 3
_READINGS = 5


def process_start(pid: int) -> float:
    """Return when a process started, in seconds since the epoch.

    Raises:
        OSError: there is no such process.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    since_boot = int(fields[_START_AFTER_NAME]) / os.sysconf("SC_CLK_TCK")
    # What interrupts this thread between the two clocks makes the difference smaller.
    boot = max(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) for _ in range(_READINGS))
    return boot + since_boot
