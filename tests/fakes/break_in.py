"""What a process tries once it was taken over: each act is refused, or it reaches the kernel.

Acts are harmless: they name what is not there, or set what is so already. Run by itself, it reports what is refused of
one group of acts as JSON, after a process has confined itself:

break_in.py GROUP PYTHON_STATEMENTS
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

Act = Callable[[], object]

_LIBC = ctypes.CDLL(None, use_errno=True)
_REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)
_NONE = b"/none/none"
_GROWS_DOWN, _LOCKED, _HUGE = 0x100, 0x2000, 0x40000
_PAGE = mmap.PAGESIZE


def system_call(number: int, *arguments: object) -> int:
    # A call takes six registers; what is not given must not be what lies there by chance.
    result = _LIBC.syscall(number, *(arguments + (0,) * (6 - len(arguments))))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _map(protection: int, flags: int) -> int:
    minus_one = ctypes.c_long(-1)
    return system_call(9, 0, ctypes.c_size_t(_PAGE), protection, flags | mmap.MAP_ANONYMOUS, minus_one)


def _fork(number: int, *arguments: int) -> None:
    # The child has this thread only, and waits for ever if another holds the interpreter's lock.
    child = ctypes.PyDLL(None, use_errno=True).syscall(number, *(arguments + (0,) * (6 - len(arguments))))
    if child < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _queue_signal(process: int) -> None:
    information = ctypes.create_string_buffer(128)
    ctypes.c_int.from_buffer(information, 8).value = -1  # SI_QUEUE
    system_call(129, process, 0, information)


def _make_executable() -> None:
    page = mmap.mmap(-1, _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    system_call(10, ctypes.c_size_t(address), ctypes.c_size_t(_PAGE), mmap.PROT_READ | mmap.PROT_EXEC)


def _parent() -> int:
    return os.getppid()


def _priority(process: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, process)


def _grandparent() -> int:
    return int(Path(f"/proc/{_parent()}/stat").read_text().rpartition(")")[2].split()[1])


NETWORK: dict[str, Act] = {
    "a socket": socket.socket,
    "a local socket": lambda: socket.socket(socket.AF_UNIX),
    "a pair of sockets": socket.socketpair,
    "a connection": lambda: system_call(42, -1),
    "a message with descriptors": lambda: system_call(46, -1),
}
PROCESSES: dict[str, Act] = {
    "a program": lambda: system_call(59, _NONE),
    "a program of a descriptor": lambda: system_call(322, -1, _NONE),
    "a process": lambda: _fork(57),
    "a process by clone": lambda: _fork(56, 17),
    "other namespaces": lambda: system_call(272, 0x10000000),
    "namespaces of a descriptor": lambda: system_call(308, -1),
    "a signal": lambda: os.kill(_parent(), 0),
    "a signal to a thread": lambda: system_call(234, _parent(), _parent()),
    "a signal to a thread, by its number": lambda: system_call(200, _parent()),
    "a queued signal": lambda: _queue_signal(_parent()),
    "a descriptor of a process": lambda: system_call(434, _parent()),
    "a signal by a descriptor": lambda: fcntl.fcntl(0, fcntl.F_SETOWN, _parent()),
    "another signal by a descriptor": lambda: fcntl.fcntl(0, 10, 23),
    "a signal by a descriptor, to a thread": lambda: fcntl.fcntl(0, 15, bytes(8)),
    "signals of a descriptor": lambda: fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC),
    "memory of a process": lambda: system_call(310, _parent()),
    "memory of a process, to write": lambda: system_call(311, _parent()),
    "a process to trace": lambda: system_call(101, 16),
    "advice about a process": lambda: system_call(440, -1),
    "the priority of a process": lambda: os.setpriority(os.PRIO_PROCESS, _parent(), _priority(_parent())),
    "the cores of a process": lambda: os.sched_setaffinity(_parent(), os.sched_getaffinity(_parent())),
    "the scheduler of a process": lambda: os.sched_setscheduler(
        _parent(), os.sched_getscheduler(_parent()), os.sched_getparam(_parent())
    ),
    "the input and output priority of a process": lambda: system_call(251, 1, _parent()),
    "the limits of a process": lambda: resource.prlimit(_parent(), resource.RLIMIT_NOFILE),
    "limits of its own": lambda: system_call(160, resource.RLIMIT_DATA, 0),
    "limits of its own by another call": lambda: system_call(302, 0, resource.RLIMIT_DATA, ctypes.c_long(-1)),
    "a group of processes": lambda: system_call(109, _parent()),
    "a timer with a signal": lambda: system_call(222, -1),
    "a thread that is none": lambda: system_call(56, 0x10000),
}
MEMORY: dict[str, Act] = {
    "shared memory": lambda: mmap.mmap(-1, _PAGE),
    "a stack that grows": lambda: _map(mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _GROWS_DOWN),
    "locked memory": lambda: _map(mmap.PROT_READ, mmap.MAP_PRIVATE | _LOCKED),
    "memory to lock": lambda: system_call(149, 0, 0),
    "huge pages": lambda: _map(mmap.PROT_READ, mmap.MAP_PRIVATE | _HUGE),
    "memory to execute": lambda: _map(mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE),
    "memory that becomes executable": _make_executable,
    "a file in memory": lambda: os.memfd_create("none"),
    "a secret in memory": lambda: system_call(447, -1),
    "a segment": lambda: system_call(29, 0, 0),
    "semaphores": lambda: system_call(64, 0, 0),
    "a queue": lambda: system_call(68, 0x7E57),
    "a queue with a name": lambda: system_call(240, b"none"),
    "poisoned memory": lambda: system_call(28, 0, 0, 100),
    "merged memory": lambda: system_call(28, 0, 0, 12),
}
DESCRIPTORS: dict[str, Act] = {
    "a pipe": os.pipe,
    "an event": lambda: system_call(290),
    "a poll set": lambda: system_call(291),
    "a timer": lambda: system_call(283),
    "signals to read": lambda: system_call(289, -1, bytes(8), 8),
    "changes of files": lambda: system_call(253),
    "changes of a folder": lambda: system_call(254, -1, b"/dev/shm", 0xFFF),
    "changes of a folder, by a signal": lambda: fcntl.fcntl(0, fcntl.F_NOTIFY, 1),
    "a lease": lambda: system_call(72, -1, fcntl.F_SETLEASE),
    "a lock": lambda: fcntl.flock(0, fcntl.LOCK_SH),
    "a lock of a range": lambda: fcntl.lockf(0, fcntl.LOCK_UN),
    "a larger pipe": lambda: fcntl.fcntl(0, 1031, _PAGE),
    "another descriptor of the log": lambda: os.dup(2),
    "the same by another call": lambda: fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 0),
    "another place in the log": lambda: os.lseek(2, 0, os.SEEK_CUR),
    "the flags of the log": lambda: fcntl.fcntl(2, fcntl.F_SETFL, fcntl.fcntl(2, fcntl.F_GETFL)),
    "the flags of the log by another call": lambda: system_call(16, -1, 0x5421),
    "room in the log": lambda: system_call(285, 0),
    "input of a terminal": lambda: system_call(16, -1, 0x5412),
    "from file to file": lambda: system_call(40, -1, -1),
}
FILES_TO_WRITE: dict[str, Act] = {
    "a new file": lambda: os.open(_NONE, os.O_WRONLY | os.O_CREAT),
    "an old file": lambda: os.open(_NONE, os.O_RDWR),
    "a file without a name": lambda: os.open(_NONE, os.O_TMPFILE | os.O_RDWR),
    "a file by a newer call": lambda: system_call(437, -1, _NONE, bytes(24), 24),
    "a file by an older call": lambda: system_call(85, _NONE),
    "a file by its handle": lambda: system_call(304, -1, bytes(8)),
    "another length": lambda: os.truncate(_NONE, 0),
    "a file that goes": lambda: os.unlink(_NONE),
    "a folder": lambda: os.mkdir(_NONE),
    "a folder that goes": lambda: os.rmdir(_NONE),
    "another name": lambda: os.rename(_NONE, _NONE),
    "a second name": lambda: os.link(_NONE, _NONE),
    "a link": lambda: os.symlink(_NONE, _NONE),
    "a device": lambda: os.mknod(_NONE),
    "other rights": lambda: os.chmod(_NONE, 0),
    "another owner": lambda: os.chown(_NONE, -1, -1),
    "another time": lambda: os.utime(_NONE),
    "an attribute": lambda: os.setxattr(_NONE, b"user.none", b""),
    "another working folder": lambda: os.chdir(_NONE),
    "another root": lambda: os.chroot(_NONE),
    "a mount": lambda: system_call(165, _NONE, _NONE, _NONE),
}
KERNEL: dict[str, Act] = {
    "rings of calls": lambda: system_call(425, 0),
    "faults of pages": lambda: system_call(323, -1),
    "programs in the kernel": lambda: system_call(321, -1),
    "counters of the kernel": lambda: system_call(298, 0),
    "keys of the kernel": lambda: system_call(250, -1),
    "messages of the kernel": lambda: system_call(103, 3),
    "comparing processes": lambda: system_call(312, _parent(), _parent()),
    "moving pages of a process": lambda: system_call(279, _parent()),
    "changes of all files": lambda: system_call(300, -1),
    "a module": lambda: system_call(313, -1),
    "the clock": lambda: system_call(227, -1),
}
SYSTEM_CALLS = {**NETWORK, **PROCESSES, **MEMORY, **DESCRIPTORS, **FILES_TO_WRITE}

FILES_TO_READ: dict[str, Act] = {
    "the root": lambda: os.listdir("/"),
    "users": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "other clients' messages": lambda: os.listdir("/dev/shm"),
    "temporary files": lambda: os.listdir("/tmp"),
    "shared zeros": lambda: os.open("/dev/zero", os.O_RDONLY),
    "all processes": lambda: os.listdir("/proc"),
    "connections": lambda: os.open("/proc/net/tcp", os.O_RDONLY),
    "mounts": lambda: os.open("/proc/self/mountinfo", os.O_RDONLY),
    "an environment": lambda: os.open("/proc/self/environ", os.O_RDONLY),
    **{
        f"the router's {name}": lambda name=name: os.open(f"/proc/{_parent()}/{name}", os.O_RDONLY)  # type: ignore[misc]
        for name in ("mem", "environ", "cmdline", "maps", "status", "stat", "fd", "task", "root", "cwd", "io")
    },
    "Triton's command line": lambda: os.open(f"/proc/{_grandparent()}/cmdline", os.O_RDONLY),
}

# What a container's own filter, or a kernel, may refuse to everybody, or to all but root.
MAY_BE_REFUSED = {*KERNEL, "other namespaces", "a secret in memory", "poisoned memory", "the router's mem"}


def refused(acts: Mapping[str, Act]) -> list[str]:
    """Try all, and return the names of those that were refused."""
    return list(_refused(acts))


def _refused(acts: Mapping[str, Act]) -> Iterator[str]:
    for name, act in acts.items():
        try:
            act()
        except OSError as error:
            if error.errno in _REFUSALS:
                yield name


if __name__ == "__main__":
    exec(sys.argv[2])
    sys.stdout.write(json.dumps(refused(globals()[sys.argv[1]])))
