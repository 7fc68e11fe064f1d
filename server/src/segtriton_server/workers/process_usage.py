"""What a process uses, as far as no limit of its own bounds it.

RLIMIT_DATA forgets memory that was made read-only after it was written to, RLIMIT_NPROC counts a user's threads and not
a process's, and neither holds for root where the privilege is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from segtriton_server.settings import Settings
from segtriton_server.workers.frame_threads import most_frame_threads

_FIELD = re.compile(r"^(\w+):\s+(\d+)", re.MULTILINE)
_MEMORY = ("RssAnon", "RssShmem", "VmSwap", "VmPTE")
_THREADS_OF_LIBRARIES = 256
_THREADS_OF_A_SESSION = 16  # beside those of its decoder, its encoder, and the encoder's look ahead
# The stack, and tables that are read-only once their library is loaded, are not counted by the limit of the process.
_UNCOUNTED_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """Threads, and bytes of memory that no file backs, page tables included."""

    threads: int
    memory_bytes: int


def read_usage(pid: int) -> ProcessUsage | None:
    """Return what a process uses now, None if it has ended."""
    try:
        status = dict(_FIELD.findall(Path(f"/proc/{pid}/status").read_text()))
    except OSError:
        return None
    if "RssAnon" not in status:  # it has ended, and nobody has waited for it
        return None
    return ProcessUsage(int(status["Threads"]), 1024 * sum(int(status[name]) for name in _MEMORY))


def find_excess(usage: ProcessUsage, settings: Settings) -> str:
    """Return what a confined worker uses more of than its sessions can take, "" if there is nothing."""
    if settings.confinement == "off":
        return ""
    most = _THREADS_OF_LIBRARIES + settings.stream_slots * (_THREADS_OF_A_SESSION + 3 * settings.num_decoder_threads)
    most += most_frame_threads(settings)
    if usage.threads > most:
        return f"{usage.threads} threads, more than {most}"
    bound = settings.worker_memory_bytes
    if bound and settings.accelerator != "gpu" and usage.memory_bytes > bound + _UNCOUNTED_BYTES:
        return f"{usage.memory_bytes} bytes of memory, more than worker_memory_bytes ({bound})"
    return ""
