"""Leaves a process nothing to read but its libraries, its networks, and what the kernel tells about it.

Keys, tokens, and the shared memory through which Triton hands on the messages of all clients lie in files that the
server's user may read, and a filter of system calls cannot tell one path from another. Landlock can
(Documentation/userspace-api/landlock.rst of the kernel, from 5.13 on). It also shuts other processes' memory in /proc.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from segtriton_server.settings import Settings
from segtriton_server.workers.kernel_calls import system_call, take_no_new_privileges

_LOG = logging.getLogger(__name__)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_ALL_OF_FIRST_VERSION = (1 << 13) - 1
_SYSTEM = ("/usr", "/lib", "/lib64", "/proc", "/sys")
_SYSTEM_FILES = ("/dev/null", "/dev/zero", "/dev/urandom", "/etc/ld.so.cache", "/etc/localtime")


def restrict_files(settings: Settings) -> bool:
    """Let this thread, and those that it will start, read so much and write nothing, as the setting `confinement` says.

    Returns False where it says otherwise or the kernel cannot, and on a GPU, as CUDA needs its devices.

    Raises:
        OSError: the kernel can, and refused.
    """
    if settings.confinement == "off" or settings.accelerator == "gpu":
        return False
    ruleset = struct.pack("=Q", _ALL_OF_FIRST_VERSION)
    try:
        descriptor = system_call(_CREATE_RULESET, ruleset, len(ruleset), 0)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
        _LOG.warning("Files cannot be hidden from workers here: Landlock: %s", error)
        return False
    try:
        for path in {os.path.realpath(path) for path in _readable(settings.networks)}:
            _allow(descriptor, path)
        take_no_new_privileges()
        system_call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)
    return True


def _readable(networks: Path) -> Iterator[str]:
    yield from (*_SYSTEM, *_SYSTEM_FILES, str(networks), sys.prefix, sys.base_prefix)
    # They may be links to files elsewhere.
    yield from map(str, networks.glob("*"))
    # The first is the folder in which Python was started.
    yield from (path for path in sys.path[1:] if path)


def _allow(ruleset: int, path: str) -> None:
    with suppress(FileNotFoundError):
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            access = _READ_FILE | (_READ_DIR if Path(path).is_dir() else 0)
            system_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, parent), 0)
        finally:
            os.close(parent)
