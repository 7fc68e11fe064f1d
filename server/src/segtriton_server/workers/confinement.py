"""Takes from a worker process what decoding needs not, so that a bug in a decoder does not become a break-in.

A filter of system calls (seccomp, see Documentation/userspace-api/seccomp_filter.rst of the kernel) refuses sockets,
programs, processes, signals to others, and whatever writes or removes a file; reading stays, as libraries load late.
No privilege is needed to set it, and none can be won back.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import platform
import resource
import struct

from segtriton_server.settings import Settings

_LOG = logging.getLogger(__name__)
_C_LIBRARY = ctypes.CDLL(None, use_errno=True)

_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP, _SET_MODE_FILTER, _ALL_THREADS = 317, 1, 1
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_LOAD, _RETURN = 0x20, 0x06
_JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _KILL_PROCESS, _FAIL_WITH = 0x7FFF0000, 0x80000000, 0x00050000

_CLONE, _CLONE3, _OPEN, _OPENAT, _TGKILL = 56, 435, 2, 257, 234
_CLONE_THREAD = 0x00010000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# Numbers of the x86-64 ABI.
_REFUSED = {
    "network": (41, 42, 43, 49, 50, 53, 288),  # socket, connect, accept, bind, listen, socketpair, accept4
    "programs and processes": (57, 58, 59, 322),  # fork, vfork, execve, execveat
    "other processes": (62, 101, 129, 200, 297, 310, 311, 312, 424, 434, 438, 440, 448),  # kill, ptrace, pidfd_*...
    "files": (
        *(
            76,
            77,
            82,
            83,
            84,
            85,
            86,
            87,
            88,
            90,
            91,
            92,
            93,
            94,
            133,
            188,
            189,
            190,
            197,
            198,
            199,
        ),  # truncate ... chown
        *(258, 259, 260, 263, 264, 265, 266, 268, 316, 437, 452),  # the same relative to a folder, openat2
    ),
    "mounts and namespaces": (155, 161, 165, 166, 272, 303, 304, 308, 428, 429, 430, 431, 432, 433, 442),
    "the kernel": (
        *(
            134,
            135,
            154,
            163,
            164,
            167,
            168,
            169,
            172,
            173,
            175,
            176,
            227,
            246,
            313,
            320,
            321,
            323,
            298,
        ),  # bpf, perf...
        *(248, 249, 250, 425, 426, 427, 319),  # keys, io_uring, memfd_create
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine(settings: Settings) -> str:
    """Confine this process with all its threads, as the setting `confinement` says; returns what is in force."""
    if settings.confinement == "off":
        return "nothing"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _check(_C_LIBRARY.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    # CUDA maps far more than it uses, opens its devices for writing, and talks to MPS over a socket.
    if settings.accelerator == "gpu" and settings.confinement == "auto":
        return "no new privileges"
    if settings.worker_memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (settings.worker_memory_bytes,) * 2)
    try:
        _filter_system_calls()
    except OSError as error:
        _LOG.warning("System calls cannot be filtered here: %s", error)
        return "no new privileges, memory"
    return "no new privileges, memory, system calls"


def _filter_system_calls() -> None:
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "the filter is written for x86-64")
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions())
    program = _Program(len(code) // 8, code)
    _check(_C_LIBRARY.syscall(_SYS_SECCOMP, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _instructions() -> list[tuple[int, int, int, int]]:
    """Classic BPF: (code, jump if true, jump if false, operand)."""
    refuse = (_RETURN, 0, 0, _FAIL_WITH | errno.EPERM)
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_IF_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NR),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32_BIT),
        refuse,
    ]
    for number in (number for numbers in _REFUSED.values() for number in numbers):
        program += [(_JUMP_IF_EQUAL, 0, 1, number), refuse]
    # Its flags lie in memory, which a filter cannot read; without it, the C library starts threads by the older call.
    program += [(_JUMP_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL_WITH | errno.ENOSYS)]
    program += _refuse_unless(_CLONE, 0, (_JUMP_IF_ANY_BIT, 1, 0, _CLONE_THREAD))
    program += _refuse_unless(_OPEN, 1, (_JUMP_IF_ANY_BIT, 0, 1, _WRITES))
    program += _refuse_unless(_OPENAT, 2, (_JUMP_IF_ANY_BIT, 0, 1, _WRITES))
    program += _refuse_unless(_TGKILL, 0, (_JUMP_IF_EQUAL, 1, 0, os.getpid()))
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _refuse_unless(number: int, argument: int, jump: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Let one call pass where `jump`, made on the lower half of an argument, skips the refusal."""
    return [
        (_JUMP_IF_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        jump,
        (_RETURN, 0, 0, _FAIL_WITH | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
