"""Helper processes that say "ready", do their work when told, and print a JSON object at the end."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent


class Children:
    """Several processes of one script, as a context manager that leaves none behind.

    Each is killed when the time is over; whoever waits for it then gets an error.
    """

    def __init__(self, script: str, arguments: Sequence[Sequence[str]], limit_seconds: float) -> None:
        self._script = script
        self._processes = [
            subprocess.Popen(
                [sys.executable, str(HERE / script), *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for each in arguments
        ]
        self._watchdog = threading.Timer(limit_seconds, self._kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self) -> "Children":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._kill()
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.communicate()

    def wait_for(self, word: str) -> None:
        """Wait until each has said the word."""
        for process in self._processes:
            assert process.stdout is not None
            if not any(line.strip() == word for line in process.stdout):
                raise RuntimeError(f"{self._script} ended, or took too long, before it said {word!r}")

    def tell(self, line: str) -> None:
        """Give each a line."""
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # it has ended, which `results` will tell
                process.stdin.write(line + "\n")
                process.stdin.flush()

    def results(self) -> list[dict[str, Any]]:
        """Wait for the end of all; return what each printed last."""
        outputs = [process.communicate()[0] for process in self._processes]
        if any(process.returncode for process in self._processes):
            raise RuntimeError(f"{self._script} failed or took too long; its message is above")
        return [json.loads(output.strip().splitlines()[-1]) for output in outputs]

    def _kill(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()


def run_children(script: str, arguments: Sequence[Sequence[str]], limit_seconds: float) -> list[dict[str, Any]]:
    """Let several begin together and return what each printed."""
    with Children(script, arguments, limit_seconds) as children:
        children.wait_for("ready")
        children.tell("go")
        return children.results()


def wait_for_go() -> None:
    """The child's side: say that it is ready and wait."""
    print("ready", flush=True)
    sys.stdin.readline()
