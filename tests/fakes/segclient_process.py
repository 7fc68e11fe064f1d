"""The command `segclient` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable

PROGRAM = (sys.executable, "-c", "from segtriton_client.cli import main; main()")


def environment(more: dict[str, str]) -> dict[str, str]:
    """Return the variables with which a process finds what the tests find."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


# Root may do everything; without these two capabilities permissions count for it, too. Others have none to drop.
WITHOUT_PRIVILEGES = "import ctypes; [ctypes.CDLL(None).prctl(24, capability) for capability in (1, 2)]"
_MAX_FILE_BYTES = 1000
WITHOUT_SPACE = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({_MAX_FILE_BYTES},) * 2)"
_AFTER = "import os, sys; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


def run(
    *arguments: object, code: int = 0, env: dict[str, str] | None = None, piped: bytes = b"", before: str = ""
) -> str:
    """Run the command in a process of its own, with something in its standard input, and return what it told.

    `before` is Python that the process runs first.
    """
    program = [PROGRAM[0], "-c", f"{before}; {_AFTER}", *PROGRAM[1:]] if before else PROGRAM
    line, known = [*program, *map(str, arguments)], environment(env or {})
    done = subprocess.run(line, input=piped, capture_output=True, timeout=50, env=known, check=False)
    told = (done.stdout + done.stderr).decode()
    assert done.returncode == code, told
    return told


def run_on_a_terminal(*arguments: object, **variables: str) -> str:
    """Run the command on a terminal of its own and return what stood on it."""
    ours, theirs = os.openpty()
    line, known = [*PROGRAM, *map(str, arguments)], environment(variables)
    subprocess.run(line, stdin=theirs, stdout=theirs, stderr=theirs, timeout=50, env=known, check=False)
    os.close(theirs)
    told = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while part := os.read(ours, 65536):
            told += part
    os.close(ours)
    return told.decode()


def interrupt(
    wait: Callable[[], object], endpoint: str, *arguments: object, times: int = 1, number: int = signal.SIGINT
) -> tuple[int, str]:
    """Start the command, send it a signal when the time has come, and return its code and what it told."""
    line = [*PROGRAM, "--endpoint", endpoint, "-sv", *map(str, arguments)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment({})) as client:
        try:
            wait()
            told = ""
            for _ in range(times):
                client.send_signal(number)
                told += client.stderr.readline()
            told += client.stderr.read()
        finally:
            client.kill()
    return client.returncode, told
