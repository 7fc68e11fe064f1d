"""Takes from a worker process what decoding does not need, so that a bug in a decoder does not become a break-in."""

from __future__ import annotations

import logging
import resource

from segtriton_server.settings import Settings
from segtriton_server.workers.kernel_calls import take_no_new_privileges
from segtriton_server.workers.seccomp import filter_system_calls

_LOG = logging.getLogger(__name__)
_MAX_FILES = 1024
# Libraries, stacks and arenas reserve far more than they use. The bound is for page tables of memory that is only read.
_SPARE_ADDRESS_SPACE = 64 << 30


def confine(settings: Settings) -> str:
    """Confine this process with all its threads, as the setting `confinement` says; returns what is in force."""
    if settings.confinement == "off":
        return "nothing"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    take_no_new_privileges()
    has_device = settings.accelerator == "gpu"
    # CUDA maps far more than it uses, opens its devices for writing, and talks to MPS over a socket.
    if has_device and settings.confinement == "auto":
        return "no new privileges"
    _limit(resource.RLIMIT_NOFILE, _MAX_FILES)
    if settings.worker_memory_bytes and not has_device:
        _limit(resource.RLIMIT_DATA, settings.worker_memory_bytes)
        _limit(resource.RLIMIT_AS, settings.worker_memory_bytes + _SPARE_ADDRESS_SPACE)
    try:
        filter_system_calls(has_device=has_device)
    except OSError as error:
        _LOG.warning("System calls cannot be filtered here: %s", error)
        return "no new privileges, limits"
    return "no new privileges, limits, system calls"


def _limit(which: int, most: int) -> None:
    """Lower a limit of the process for good; one that is lower stays."""
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))
