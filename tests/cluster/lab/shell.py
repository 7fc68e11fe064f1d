"""Runs commands, and tells what a failed one said."""

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LONGEST_QUOTE = 4000


class LabError(Exception):
    """Something that a person must know or do; its text is all that is shown."""


class CommandError(LabError):
    """A command ended with an error."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        said = output.strip()[-LONGEST_QUOTE:] or "nothing"
        super().__init__(f"`{shlex.join(command)}` ended with status {status} and said:\n{said}")
        self.status = status
        self.output = output


def attempt(
    *command: str | Path,
    stdin: str | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, whatever that is."""
    return subprocess.run(
        [str(part) for part in command],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=timeout_seconds,
        check=False,
    )


def run(
    *command: str | Path,
    stdin: str | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Runs a command that must succeed; returns its standard output."""
    done = attempt(*command, stdin=stdin, folder=folder, environment=environment, timeout_seconds=timeout_seconds)
    if done.returncode != 0:
        raise CommandError([str(part) for part in command], done.returncode, done.stdout + done.stderr)
    return done.stdout


def wait_until(
    what: str,
    is_so: Callable[[], bool],
    *,
    timeout_seconds: float = 60,
    interval_seconds: float = 0.2,
    explain: Callable[[], str] | None = None,
) -> float:
    """Asks until the answer is yes; returns the seconds it took. `explain` adds to the error what a reader needs."""
    start = time.monotonic()
    while not is_so():
        if time.monotonic() - start > timeout_seconds:
            details = f"\n{explain()}" if explain else ""
            raise LabError(f"{what}: not so after {timeout_seconds:g} s{details}")
        time.sleep(interval_seconds)
    return time.monotonic() - start
