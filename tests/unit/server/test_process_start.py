import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segtriton_server.process_start import process_start

# The clock of /proc ticks so often a second.
TICK = 1 / os.sysconf("SC_CLK_TCK")


def test_a_process_started_between_the_moments_before_and_after() -> None:
    before = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        after = time.time()
        started = process_start(process.pid)
        process.communicate(b"\n")
    assert before - 2 * TICK <= started <= after + 2 * TICK


def test_a_name_with_blanks_and_brackets_does_not_matter(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    before = time.time()
    with subprocess.Popen([program, "60"]) as process:
        started = process_start(process.pid)
        process.kill()
    assert started >= before - 2 * TICK


def test_nobody_did_not_start() -> None:
    with pytest.raises(OSError, match="No such file"):
        process_start(2**22 + 1)


def test_an_interruption_between_the_clocks_makes_no_process_older(monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = process_start(os.getpid())
    interruptions = iter([0.5, 0.5, 0.0, 0.5, 0.5])
    clock = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda number: clock(number) + next(interruptions))
    assert abs(process_start(os.getpid()) - undisturbed) < 0.1
