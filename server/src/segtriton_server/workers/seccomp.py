"""The system calls of a worker process: an allow list, so that a decoder that was taken over reaches little.

The filter is written for x86-64 (Documentation/userspace-api/seccomp_filter.rst of the kernel). What the list holds was
measured with strace over the media tests on Debian 12; what the C libraries of Ubuntu 22.04 and 24.04 and of Debian 13
may ask for besides was added. No privilege is needed to set it, and none removes it again.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import struct
import termios
from collections.abc import Callable, Iterable, Sequence

from segtriton_server.workers.kernel_calls import system_call

_SECCOMP, _SET_MODE_FILTER, ALL_THREADS = 317, 1, 1
_AUDIT_ARCH_X86_64 = 0xC000003E
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_LOAD, _RETURN = 0x20, 0x06
_JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_ANY_BIT = 0x15, 0x35, 0x45
_ALLOW, _KILL_PROCESS, _FAIL_WITH = 0x7FFF0000, 0x80000000, 0x00050000
REFUSE = _FAIL_WITH | errno.EPERM
_UNKNOWN = _FAIL_WITH | errno.ENOSYS

# Names and numbers of the x86-64 ABI (arch/x86/entry/syscalls/syscall_64.tbl of the kernel), the frequent ones first.
_THREADS_AND_TIME = """
    futex 202, futex_waitv 449, futex_wake 454, futex_wait 455, sched_yield 24, rseq 334, set_robust_list 273,
    set_tid_address 218, exit 60, exit_group 231, restart_syscall 219, getpid 39, gettid 186, getppid 110,
    sched_getaffinity 204, sched_getparam 143, sched_getscheduler 145, sched_get_priority_max 146,
    sched_get_priority_min 147, getcpu 309, clock_gettime 228, clock_getres 229, clock_nanosleep 230, nanosleep 35,
    gettimeofday 96, time 201, times 100, getrusage 98, sysinfo 99, uname 63, getuid 102, geteuid 107, getgid 104,
    getegid 108, getrlimit 97
"""
_SIGNALS = """
    rt_sigprocmask 14, rt_sigaction 13, rt_sigreturn 15, sigaltstack 131
"""
_MEMORY = """
    munmap 11, brk 12, mremap 25, getrandom 318
"""
_DESCRIPTORS = """
    read 0, write 1, readv 19, writev 20, pread64 17, close 3, fstat 5, poll 7, ppoll 271, select 23, pselect6 270
"""
_FILES = """
    stat 4, lstat 6, newfstatat 262, statx 332, access 21, faccessat 269, faccessat2 439, readlink 89, readlinkat 267,
    getdents64 217, getcwd 79, fadvise64 221
"""
_MMAP, _MPROTECT, _MADVISE, _MEMBARRIER = 9, 10, 28, 324
_CLONE, _CLONE3, _TGKILL, _PRCTL, _ARCH_PRCTL, _PRLIMIT64 = 56, 435, 234, 157, 158, 302
_OPEN, _OPENAT, _LSEEK, _FCNTL, _IOCTL = 2, 257, 8, 72, 16
# The C library asks for newer calls, and takes older ones only where the kernel does not know the new. clone3 is such
# a one, too: its flags lie in memory, which a filter cannot read. None of these is refused with another number.
_FIRST_PROBED = 435

# CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID and CHILD_CLEARTID: a thread, nothing else.
_NEW_THREAD = 0x3D0F00
_MAP_FIXED, _MAP_NORESERVE, _MAP_STACK, _MAP_FIXED_NOREPLACE = 0x10, 0x4000, 0x20000, 0x100000
# Neither MAP_SHARED nor MAP_GROWSDOWN is among them, as RLIMIT_DATA does not count what is mapped so.
_MAP_PRIVATE = (
    mmap.MAP_PRIVATE
    | mmap.MAP_ANONYMOUS
    | mmap.MAP_DENYWRITE
    | _MAP_STACK
    | _MAP_FIXED
    | _MAP_FIXED_NOREPLACE
    | _MAP_NORESERVE
)
_STACK_GUARDS = (102, 103)  # MADV_GUARD_INSTALL and MADV_GUARD_REMOVE
_ADVICE = (
    mmap.MADV_DONTNEED,
    mmap.MADV_FREE,
    mmap.MADV_NORMAL,
    mmap.MADV_RANDOM,
    mmap.MADV_SEQUENTIAL,
    mmap.MADV_WILLNEED,
    mmap.MADV_HUGEPAGE,
    mmap.MADV_NOHUGEPAGE,
    mmap.MADV_DONTDUMP,
    mmap.MADV_DODUMP,
    *_STACK_GUARDS,
)
_PRIVATE_BARRIERS = (0, 8, 16)  # query, private expedited, and its registration
_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41
_XCOMP_PERMISSIONS = (0x1021, 0x1022, 0x1023)  # libraries ask with these for the matrix registers (AMX)
_O_LARGEFILE = 0o100000
_READS = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | _O_LARGEFILE
_STANDARD_STREAMS = 3

_Instruction = tuple[int, int, int, int]
# Makes the instructions that go on behind themselves, or jump so many further to refuse.
_Check = Callable[[int], list[_Instruction]]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_system_calls(refusal: int = REFUSE, flags: int = ALL_THREADS, *, has_device: bool = False) -> int:
    """Filter the system calls of all threads of this process.

    Args:
        refusal: what the kernel does with a call that is not on the list, one of its SECCOMP_RET values.
        flags: how the filter is set, of its SECCOMP_FILTER_FLAG values.
        has_device: whether the process works on a GPU, whose libraries map and command device files.

    Returns:
        What the kernel returns: 0, or the descriptor that the flags ask for.

    Raises:
        OSError: the kernel or the machine has no such filters, or a thread cannot be filtered.
    """
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, "the filter is written for x86-64")
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(refusal, has_device))
    result = system_call(_SECCOMP, _SET_MODE_FILTER, flags, ctypes.byref(_Program(len(code) // 8, code)))
    if flags == ALL_THREADS and result != 0:
        raise OSError(errno.EPERM, "one of its threads cannot be filtered")
    return result


def _instructions(refusal: int, has_device: bool) -> list[_Instruction]:
    """Return the program in classic BPF: (code, jump if true, jump if false, operand)."""
    refuse = (_RETURN, 0, 0, refusal)
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_IF_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NR),
    ]
    for calls in (_THREADS_AND_TIME, _SIGNALS, _MEMORY, _DESCRIPTORS, _FILES, _DEVICE if has_device else ""):
        for call in filter(str.strip, calls.split(",")):
            program += [(_JUMP_IF_EQUAL, 0, 1, int(call.split()[1])), (_RETURN, 0, 0, _ALLOW)]
    for number, alternatives in _rules(has_device).items():
        rule = [instruction for checks in alternatives for instruction in _allow_if(checks)]
        program += [(_JUMP_IF_EQUAL, 0, len(rule) + 1, number), *rule, refuse]
    return [*program, (_JUMP_IF_AT_LEAST, 0, 1, _FIRST_PROBED), (_RETURN, 0, 0, _UNKNOWN), refuse]


def _rules(has_device: bool) -> dict[int, Sequence[Sequence[_Check]]]:
    """For each call whose arguments matter: the alternatives of which one must hold, each with all its checks."""
    data, code = mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ | mmap.PROT_EXEC
    rules: dict[int, Sequence[Sequence[_Check]]] = {
        # Only files are mapped for execution: libraries that load late.
        _MMAP: (
            (_within(2, data), _within(3, _MAP_PRIVATE)),
            (_within(2, code), _within(3, _MAP_PRIVATE & ~mmap.MAP_ANONYMOUS)),
        ),
        _MPROTECT: ((_within(2, data),),),
        _MADVISE: ((_one_of(2, _ADVICE),),),
        _MEMBARRIER: ((_one_of(0, _PRIVATE_BARRIERS),),),
        _CLONE: ((_one_of(0, (_NEW_THREAD,)),),),
        _TGKILL: ((_one_of(0, (os.getpid(),)),),),
        _PRCTL: ((_one_of(0, (_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA)),),),
        _ARCH_PRCTL: ((_one_of(0, _XCOMP_PERMISSIONS),),),
        # It may ask for limits of its own, and set none.
        _PRLIMIT64: ((_one_of(0, (0,)), *_null(2)),),
        _OPEN: ((_within(1, _READS),),),
        _OPENAT: ((_within(2, _READS),),),
        # The log is one open file of Triton's, the router's and all workers': a place in it would move for all.
        _LSEEK: ((_at_least(0, _STANDARD_STREAMS),),),
        _FCNTL: ((_one_of(1, (fcntl.F_GETFL, fcntl.F_GETFD, fcntl.F_SETFD)),),),
        _IOCTL: ((_one_of(1, (termios.TCGETS, termios.FIOCLEX)),),),
    }
    return {**rules, **_device_rules()} if has_device else rules


# ---------------------------------------------------------------- on a GPU

_DEVICE = """
    eventfd2 290, pipe2 293, dup 32, getpgrp 111, getpriority 140, get_mempolicy 239, mbind 237, mincore 27,
    recvmsg 47, sendmsg 46
"""


def _device_rules() -> dict[int, Sequence[Sequence[_Check]]]:
    """What CUDA needs more: device files, which Landlock names, are opened for writing, commanded and mapped.

    Its pinned memory is shared and anonymous (seen with CUDA 13 on an H200).
    """
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    return {
        _MMAP: (
            (_within(2, protection), _within(3, _MAP_PRIVATE | mmap.MAP_SHARED | mmap.MAP_POPULATE)),
            (_within(2, mmap.PROT_READ | mmap.PROT_EXEC), _within(3, _MAP_PRIVATE & ~mmap.MAP_ANONYMOUS)),
        ),
        _MADVISE: ((_one_of(2, (*_ADVICE, mmap.MADV_DONTFORK, mmap.MADV_DOFORK)),),),
        _OPEN: ((_within(1, _READS | os.O_RDWR),),),
        _OPENAT: ((_within(2, _READS | os.O_RDWR),),),
        _IOCTL: ((),),
        _FCNTL: (
            (_one_of(1, (fcntl.F_GETFL, fcntl.F_GETFD, fcntl.F_SETFD)),),
            (_one_of(1, (fcntl.F_SETFL,)), _one_of(2, (os.O_NONBLOCK,))),
        ),
    }


# ---------------------------------------------------------------- checks of arguments


def _within(argument: int, bits: int) -> _Check:
    """Whether an argument has none but these bits in its lower half, the one that counts for flags and numbers."""
    return lambda refuse: [_load(argument), (_JUMP_IF_ANY_BIT, refuse, 0, ~bits & 0xFFFFFFFF)]


def _at_least(argument: int, least: int) -> _Check:
    return lambda refuse: [_load(argument), (_JUMP_IF_AT_LEAST, 0, refuse, least)]


def _one_of(argument: int, values: Iterable[int]) -> _Check:
    *others, last = values
    return lambda refuse: [
        _load(argument),
        *((_JUMP_IF_EQUAL, len(others) - position, 0, value) for position, value in enumerate(others)),
        (_JUMP_IF_EQUAL, 0, refuse, last),
    ]


def _null(argument: int) -> tuple[_Check, _Check]:
    """Whether a pointer is none: both its halves."""
    lower, upper = (_ARGUMENTS + 8 * argument + half for half in (0, 4))
    return (
        lambda refuse: [(_LOAD, 0, 0, lower), (_JUMP_IF_EQUAL, 0, refuse, 0)],
        lambda refuse: [(_LOAD, 0, 0, upper), (_JUMP_IF_EQUAL, 0, refuse, 0)],
    )


def _load(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _allow_if(checks: Sequence[_Check]) -> list[_Instruction]:
    """Allow the call where all checks hold; go on behind these instructions where one does not."""
    block: list[_Instruction] = [(_RETURN, 0, 0, _ALLOW)]
    for check in reversed(checks):
        block = check(len(block)) + block
    return block
