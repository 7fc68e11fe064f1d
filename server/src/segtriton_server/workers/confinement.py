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
from segtriton_server.workers.kernel_calls import system_call, take_no_new_privileges

_LOG = logging.getLogger(__name__)

_SECCOMP, _SET_MODE_FILTER, _ALL_THREADS = 317, 1, 1
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_LOAD, _RETURN = 0x20, 0x06
_JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _KILL_PROCESS, _FAIL_WITH = 0x7FFF0000, 0x80000000, 0x00050000

_CLONE, _CLONE3, _OPEN, _OPENAT, _TGKILL, _PRLIMIT64 = 56, 435, 2, 257, 234, 302
_CLONE_THREAD = 0x00010000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# Names and numbers of the x86-64 ABI (arch/x86/entry/syscalls/syscall_64.tbl of the kernel).
_NETWORK = """
    socket 41, connect 42, accept 43, bind 49, listen 50, socketpair 53, accept4 288
"""
_PROCESSES = """
    fork 57, vfork 58, execve 59, execveat 322, kill 62, tkill 200, rt_sigqueueinfo 129, rt_tgsigqueueinfo 297,
    ptrace 101, process_vm_readv 310, process_vm_writev 311, kcmp 312, pidfd_open 434, pidfd_getfd 438,
    pidfd_send_signal 424, process_madvise 440, process_mrelease 448, migrate_pages 256, move_pages 279
"""
_SHARED_MEMORY_AND_QUEUES = """
    shmget 29, shmat 30, shmctl 31, semget 64, semctl 66, msgget 68, msgsnd 69, msgrcv 70, msgctl 71,
    mq_open 240, mq_unlink 241
"""
_FILES = """
    truncate 76, ftruncate 77, creat 85, openat2 437, rename 82, renameat 264, renameat2 316, mkdir 83, mkdirat 258,
    rmdir 84, unlink 87, unlinkat 263, link 86, linkat 265, symlink 88, symlinkat 266, mknod 133, mknodat 259,
    chmod 90, fchmod 91, fchmodat 268, fchmodat2 452, chown 92, fchown 93, lchown 94, fchownat 260,
    setxattr 188, lsetxattr 189, fsetxattr 190, removexattr 197, lremovexattr 198, fremovexattr 199,
    utime 132, utimes 235, futimesat 261, utimensat 280, memfd_create 319, name_to_handle_at 303, open_by_handle_at 304
"""
_MOUNTS_AND_NAMESPACES = """
    mount 165, umount2 166, pivot_root 155, chroot 161, unshare 272, setns 308,
    open_tree 428, move_mount 429, mount_setattr 442, fsopen 430, fsconfig 431, fsmount 432, fspick 433
"""
_KERNEL = """
    init_module 175, finit_module 313, delete_module 176, kexec_load 246, kexec_file_load 320, reboot 169,
    bpf 321, perf_event_open 298, userfaultfd 323, io_uring_setup 425, io_uring_enter 426, io_uring_register 427,
    add_key 248, request_key 249, keyctl 250, iopl 172, ioperm 173, modify_ldt 154, personality 135, uselib 134,
    acct 163, swapon 167, swapoff 168, settimeofday 164, clock_settime 227
"""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def confine(settings: Settings) -> str:
    """Confine this process with all its threads, as the setting `confinement` says; returns what is in force."""
    if settings.confinement == "off":
        return "nothing"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    take_no_new_privileges()
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
    if system_call(_SECCOMP, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)) != 0:
        raise OSError(errno.EPERM, "one of its threads cannot be filtered")


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
    for calls in (_NETWORK, _PROCESSES, _SHARED_MEMORY_AND_QUEUES, _FILES, _MOUNTS_AND_NAMESPACES, _KERNEL):
        for call in calls.split(","):
            program += [(_JUMP_IF_EQUAL, 0, 1, int(call.split()[1])), refuse]
    # Its flags lie in memory, which a filter cannot read; without it, the C library starts threads by the older call.
    program += [(_JUMP_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL_WITH | errno.ENOSYS)]
    program += _refuse_unless(_CLONE, 0, (_JUMP_IF_ANY_BIT, 1, 0, _CLONE_THREAD))
    program += _refuse_unless(_OPEN, 1, (_JUMP_IF_ANY_BIT, 0, 1, _WRITES))
    program += _refuse_unless(_OPENAT, 2, (_JUMP_IF_ANY_BIT, 0, 1, _WRITES))
    program += _refuse_unless(_TGKILL, 0, (_JUMP_IF_EQUAL, 1, 0, os.getpid()))
    program += _refuse_unless(_PRLIMIT64, 0, (_JUMP_IF_EQUAL, 1, 0, 0))  # 0: of this process
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
