import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from segtriton_server.supervised_thread import SupervisedThread


def fail_with(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(), MemoryError()])
def test_a_failure_is_told(error: BaseException) -> None:
    told: list[str] = []
    thread = SupervisedThread(fail_with(error), "victim", lambda: told.append("failed"))
    thread.start()
    thread.join(10)

    assert told == ["failed"]


def test_a_thread_that_returns_is_no_failure() -> None:
    told: list[str] = []
    thread = SupervisedThread(lambda: None, "returns", lambda: told.append("failed"))
    thread.start()
    thread.join(10)

    assert not told


def test_without_an_owner_the_process_ends_and_says_why() -> None:
    script = (
        "import time; from segtriton_server.supervised_thread import SupervisedThread\n"
        "SupervisedThread(lambda: 1 / 0, 'housekeeping').start(); time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 1
    assert "the thread housekeeping failed" in ended.stderr


def test_the_kernel_knows_its_name() -> None:
    names: list[str] = []
    thread = SupervisedThread(
        lambda: names.append(Path(f"/proc/self/task/{threading.get_native_id()}/comm").read_text()), "watch-all-workers"
    )
    thread.start()
    thread.join(10)

    assert names == ["watch-all-worke\n"]
