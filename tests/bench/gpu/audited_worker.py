"""A worker that is not confined, and a report of what a confined one would be refused, or would open.

Run in place of Python (setting `python`); the report goes to REPORT, a file, as it grows:

audited_worker.py REPORT -m segtriton_server.workers.worker_process ARGUMENTS...

Each call that is not on the list of `workers.seccomp`, and each that opens a file, is held by the kernel until this
process has written it down, and then made. It is one of "loading" until the worker would have confined itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from segtriton_server.workers import seccomp, worker_process
from segtriton_server.workers.kernel_calls import system_call, take_no_new_privileges

_NOTIFY = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
_NEW_LISTENER, _NO_THREAD_NUMBER = 1 << 3, 1 << 4
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND
_CONTINUE = 1
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
_OPENS = {2: 0, 257: 1}  # open and openat, and which argument is the path
_LONGEST_PATH = 4096


def audit(report: Path, arguments: list[str]) -> None:
    """Run a worker below this process, and write down its calls until it ends."""
    reader, writer = os.pipe()
    worker = os.fork()
    if worker == 0:
        _run_worker(writer, arguments)
    descriptor = int(os.read(reader, 16))
    listener = system_call(_PIDFD_GETFD, system_call(_PIDFD_OPEN, worker, 0), descriptor, 0)
    seen: set[str] = set()
    with report.open("a") as lines:
        for call in _calls(listener):
            phase = "serving" if select.select([reader], [], [], 0)[0] else "loading"
            line = f"{phase}: {call}"
            if line not in seen:
                seen.add(line)
                lines.write(line + "\n")
                lines.flush()
    os.waitpid(worker, 0)


def _run_worker(writer: int, arguments: list[str]) -> None:
    sys.argv = arguments
    has_device = '"accelerator": "gpu"' in arguments[-1]
    take_no_new_privileges()
    rules = seccomp._rules
    seccomp._rules = lambda device: {  # type: ignore[assignment]
        number: rule for number, rule in rules(device).items() if number not in _OPENS
    }
    flags = seccomp.ALL_THREADS | _NEW_LISTENER | _NO_THREAD_NUMBER
    os.write(writer, str(seccomp.filter_system_calls(_NOTIFY, flags, has_device=has_device)).encode())
    worker_process.restrict_files = lambda settings: False
    worker_process.confine = lambda settings: str(os.write(writer, b"confined"))
    worker_process.main()


def _calls(listener: int) -> Iterator[str]:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while not poll.poll()[0][1] & select.POLLHUP:
        notification = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, notification)
            call, thread, _, number, _, _, *values = struct.unpack("=QIIiIQ6Q", notification)
            yield _describe(thread, number, values)
            fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", call, 0, 0, _CONTINUE))
        except OSError as error:
            if error.errno != errno.ENOENT:  # the thread was killed meanwhile
                raise


def _describe(thread: int, number: int, values: list[int]) -> str:
    if number not in _OPENS:
        return f"system call {number}, arguments " + " ".join(map(hex, values[:4]))
    position = _OPENS[number]
    flags = values[position + 1]
    mode = ("to read", "to write", "to read and write")[flags & os.O_ACCMODE]
    return f"opens {_read_text(thread, values[position])} {mode}, flags {flags:#o}"


def _read_text(process: int, address: int) -> str:
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(_LONGEST_PATH).partition(b"\0")[0].decode(errors="replace")


if __name__ == "__main__":
    audit(Path(sys.argv[1]), sys.argv[3:])
