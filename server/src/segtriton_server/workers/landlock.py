"""Leaves a process nothing to read but its libraries, its networks, and what the kernel tells of the machine.

Keys, tokens, the command line of Triton, and the shared memory through which it hands on the messages of all clients
lie in files that the server's user may read, and a filter of system calls cannot tell one path from another. Landlock
can (Documentation/userspace-api/landlock.rst of the kernel, from 5.13 on). Newer kernels also refuse signals to others,
and sockets; each is asked what it can.
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
_ASK_VERSION = 1
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE, _READ_DIR, _IOCTL_DEV = 1 << 1, 1 << 2, 1 << 3, 1 << 15
_MAKE_AND_REMOVE_FILES = (1 << 5) | (1 << 8)
_ALL_OF_FIRST_VERSION = (1 << 13) - 1
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_NET_VERSION, _SCOPE_VERSION, _ALL_THREADS_VERSION = 4, 6, 8
_ALL_THREADS = 1 << 3

# ONNX Runtime looks for devices in the last of these, and says a sentence where it may not.
_SYSTEM = ("/usr", "/lib", "/lib64", "/sys/devices/system", "/sys/fs/cgroup", "/sys/bus/pci/devices")
_SYSTEM_FILES = (
    "/dev/null",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
)
# CUDA looks for its driver, its devices and their neighbours in many places of these.
_GPU_SYSTEM = ("/sys", "/proc/devices", "/proc/driver/nvidia", "/proc/self")
_GPU_DEVICES = ("nvidia*", "nvidia-caps/*")


def restrict_files(settings: Settings) -> bool:
    """Let this process read so much and write nothing, as the setting `confinement` says.

    Returns False where it says otherwise or the kernel cannot, and with "auto" on a GPU, as CUDA needs its devices.

    Raises:
        OSError: the kernel can, and refused.
        RuntimeError: the process has several threads, which this kernel cannot restrict together.
    """
    has_device = settings.accelerator == "gpu"
    if settings.confinement == "off" or (has_device and settings.confinement == "auto"):
        return False
    try:
        version = system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
        _LOG.warning("Files cannot be hidden from workers here: Landlock: %s", error)
        return False
    ruleset = _ruleset(version)
    descriptor = system_call(_CREATE_RULESET, ruleset, len(ruleset), 0)
    try:
        for path in {os.path.realpath(path) for path in _readable(settings.networks)}:
            _allow(descriptor, path, _READ_FILE)
        if has_device:
            _allow_gpu(descriptor, _rights(version), settings.compile_folder)
        take_no_new_privileges()
        system_call(_RESTRICT_SELF, descriptor, _restriction(version))
    finally:
        os.close(descriptor)
    return True


def _rights(version: int) -> int:
    newer = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
    return _ALL_OF_FIRST_VERSION | sum(right for since, right in newer if version >= since)


def _ruleset(version: int) -> bytes:
    """Return a struct landlock_ruleset_attr, in the length that a version knows, which handles all that it can."""
    fields = [_rights(version)]
    if version >= _NET_VERSION:
        fields.append(_BIND_TCP | _CONNECT_TCP)
    if version >= _SCOPE_VERSION:
        fields.append(_ABSTRACT_SOCKETS | _SIGNALS)
    return struct.pack(f"={len(fields)}Q", *fields)


def _restriction(version: int) -> int:
    if version >= _ALL_THREADS_VERSION:
        return _ALL_THREADS
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError(
            "A library has started threads before files were hidden from them; "
            "set OPENBLAS_NUM_THREADS, OMP_NUM_THREADS and MKL_NUM_THREADS to 1."
        )
    return 0


def _readable(networks: Path) -> Iterator[str]:
    yield from (*_SYSTEM, *_SYSTEM_FILES, str(networks), sys.prefix, sys.base_prefix)
    # They may be links to files elsewhere.
    yield from map(str, networks.glob("*"))
    # The first is the folder in which Python was started.
    yield from (path for path in sys.path[1:] if path)


def _allow_gpu(ruleset: int, known: int, compile_folder: Path | None) -> None:
    for path in _GPU_SYSTEM:
        _allow(ruleset, path, _READ_FILE)
    for pattern in _GPU_DEVICES:
        for device in Path("/dev").glob(pattern):
            _allow(ruleset, str(device), known & (_READ_FILE | _WRITE_FILE | _IOCTL_DEV))
    if compile_folder is not None:  # kernels are compiled before system calls are filtered, which ends writing there
        _allow(ruleset, str(compile_folder), known & (_READ_FILE | _WRITE_FILE | _MAKE_AND_REMOVE_FILES | _TRUNCATE))


def _allow(ruleset: int, path: str, access: int) -> None:
    with suppress(FileNotFoundError):
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if Path(path).is_dir():
                access |= _READ_DIR
            system_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, parent), 0)
        finally:
            os.close(parent)
