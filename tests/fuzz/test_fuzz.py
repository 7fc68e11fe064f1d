"""Hostile media: no input kills or wedges a worker, every packet is answered, and nothing is kept.

`FUZZ_INPUTS` says how many, `FUZZ_SEED` where their numbers begin. What was found once is in `FOUND` and runs always.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mutations import hostile_input
from process_tree import wait_until
from raw_client import RawStream, follow
from router import Outcome, Router

from segtriton_protocol import SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess

INPUTS = int(os.environ.get("FUZZ_INPUTS", "600"))
FIRST = int(os.environ.get("FUZZ_SEED", "1"))
REPORT = os.environ.get("FUZZ_REPORT", "")
THROUGH_TRITON = 60
# Numbers of inputs that something was mended for.
FOUND: tuple[int, ...] = ()
# What a worker's end, or a stage that did not return, shows as; and what is an error of ours.
DEADLY = {"WORKER_LOST", "STAGE_TIMEOUT", "IDLE_TIMEOUT", "INTERNAL", "hangs"}
MIB = 1 << 20
# However many inputs: what a worker keeps is what it needs at once, and that is settled after the warm-up.
MOST_GROWTH = 40 * MIB

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    with Router() as running:
        yield running


def run(router: Router, numbers: range | tuple[int, ...]) -> Counter[str]:
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(lambda number: router.run(hostile_input(number)), numbers))
    check(outcomes)
    return Counter(outcome.what for outcome in outcomes)


def check(outcomes: list[Outcome]) -> None:
    assert not [(outcome.number, outcome.what) for outcome in outcomes if outcome.what in DEADLY]
    assert not [outcome for outcome in outcomes if not outcome.adds_up]


def test_what_was_found_before(router: Router) -> None:
    run(router, FOUND)
    assert router.restarts() == 0


def test_hostile_media(router: Router) -> None:
    workers = router.worker_pids
    warm_up = max(200, INPUTS // 10)
    ends = run(router, range(FIRST, FIRST + warm_up))
    before = at_rest(workers)
    ends += run(router, range(FIRST + warm_up, FIRST + INPUTS))

    assert router.worker_pids == workers
    assert router.restarts() == 0
    # Both ends are common, or the inputs would be too tame or too wild to reach anything.
    assert ends["complete"] > INPUTS // 10
    assert sum(ends.values()) - ends["complete"] > INPUTS // 50

    def growth() -> list[int]:
        return [after - earlier for after, earlier in zip(at_rest(workers), before, strict=True)]

    assert wait_until(lambda: max(growth()) < MOST_GROWTH), growth()
    if REPORT:
        Path(REPORT).write_text(json.dumps({"ends": ends, "growth MiB": [size // MIB for size in growth()]}) + "\n")


def at_rest(pids: list[int]) -> list[int]:
    """The memory of each worker, after the beat with which it gives back what sessions have freed."""
    time.sleep(1.5)
    return [resident(pid) for pid in pids]


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@pytest.fixture(scope="module")
def triton(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    with TritonProcess(server_settings(workers=2)) as running:
        yield running


def test_hostile_media_through_triton(
    triton: TritonProcess, read_metrics: Callable[[TritonProcess], dict[str, float]]
) -> None:
    for number in range(FIRST, FIRST + THROUGH_TRITON):
        hostile = hostile_input(number)
        with RawStream(triton.grpc_address) as stream:
            try:
                follow(stream, hostile.clip, stream.open(hostile.clip, hostile.output))
            except SegtritonError as error:
                if error.code.name in DEADLY:
                    pytest.fail(f"input {number}: {error}")

    assert triton.is_ready()
    assert wait_until(lambda: read_metrics(triton)["segtriton_active_streams"] == 0)
    assert read_metrics(triton)["segtriton_worker_restarts_total"] == 0
