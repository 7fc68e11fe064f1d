"""Whatever goes wrong, and in whatever order: every frame ends as one output or one drop record, and all books agree.

Each run is chosen by its seed. `CHAOS_RUNS` says how many, `CHAOS_SEED` where they begin; to have a failed one again:
`CHAOS_SEED=<its seed> CHAOS_RUNS=1 make test-chaos`.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from books import Metrics, ServerBooks, expected_counts
from clients import Account, decodable, run_client
from plans import plans
from process_tree import wait_until, worker_pids
from raw_client import decode_payloads
from stamped_clips import shown_number, stamped_clip

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess

RUNS = int(os.environ.get("CHAOS_RUNS", "40"))
FIRST_SEED = int(os.environ.get("CHAOS_SEED", "1"))
# Where totals over all runs are written, if anywhere.
REPORT = os.environ.get("CHAOS_REPORT", "")
# What a session that does not resume may end with.
PASSING = (ErrorCode.WORKER_LOST, ErrorCode.CANCELLED)
TOTALS: Counter[str] = Counter()


@pytest.fixture(scope="module")
def victim(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    with TritonProcess(server_settings(workers=2, stream_slots=32, window_packets=24, log_json=True)) as running:
        yield running
    if REPORT:
        Path(REPORT).write_text(json.dumps(TOTALS, indent=2) + "\n")


@pytest.fixture(scope="module")
def books(victim: TritonProcess, read_metrics: Callable[[TritonProcess], Metrics]) -> ServerBooks:
    return ServerBooks(victim, read_metrics)


class Killer:
    """Ends workers of a server, never one twice."""

    def __init__(self, server: TritonProcess, seed: int) -> None:
        self.killed: set[int] = set()
        self._server = server
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def strike(self) -> None:
        with self._lock:
            living = sorted(set(worker_pids(self._server.pid)) - self.killed)
            if living:
                pid = self._dice.choice(living)
                self.killed.add(pid)
                os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_every_frame_is_accounted_for(seed: int, victim: TritonProcess, books: ServerBooks) -> None:
    books.begin()
    killer = Killer(victim, seed)
    with ThreadPoolExecutor() as pool:
        accounts = list(pool.map(partial(run_client, victim.grpc_address, kill=killer.strike), plans(seed)))

    assert wait_until(lambda: set(books.gauges().values()) == {0.0})
    check_books(books, len(killer.killed))
    for account in accounts:
        check_account(account, books)
    add_totals(accounts, killer)


def check_books(books: ServerBooks, killed: int) -> None:
    """The metrics say what the sessions' own last words say, to the frame."""

    def agree() -> bool:
        books.read_log()
        return books.counted() == expected_counts(books.opened, books.closed, killed)

    if not wait_until(agree):
        assert books.counted() == expected_counts(books.opened, books.closed, killed)
    assert books.opened <= books.closed.keys()
    for end in books.closed.values():
        assert end.frames_in == end.frames_out + sum(end.dropped.values())


def check_account(account: Account, books: ServerBooks) -> None:
    out = [packet.seq for packet in account.packets]
    dropped = [seq for seq, _ in account.drops.elements()]
    answered = sorted([*out, *dropped])
    # No number twice, and none left out before the last.
    assert len(set(answered)) == len(answered)
    check_output(account)
    if account.plan.is_resuming:
        check_resumed(account, answered)
    elif account.error is not None or account.ended is not None:
        check_single(account, answered, books)
    else:
        (session_id,) = account.session_ids
        end = books.closed[session_id]
        # It may have been done, or lost its worker, before it knew that nobody listens.
        assert end.outcome in ("complete", *(code.name for code in PASSING))
        assert len(out) <= end.frames_out


def check_output(account: Account) -> None:
    """Timestamps rise and are the packets' own; pictures show the number of the packet, where none was lost."""
    clip = stamped_clip(account.plan.recipe)
    times = [packet.pts for packet in account.packets if packet.pts is not None]
    assert len(times) == len(account.packets)
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert times == [clip.packets[packet.seq].pts for packet in account.packets]
    if account.packets:
        frames = decode_payloads("h264", [packet.payload for packet in decodable(account)])
        assert len(frames) == len(account.packets)
        if not (account.plan.lost or account.plan.swapped):
            assert [shown_number(frame) for frame in frames] == [clip.pts.index(pts) for pts in times]


def check_resumed(account: Account, answered: list[int]) -> None:
    if account.error is not None:
        raise account.error
    assert account.ended is not None
    assert answered == list(range(account.plan.recipe.frames))
    assert not account.drops
    assert account.ended.frames_out == len(answered)


def check_single(account: Account, answered: list[int], books: ServerBooks) -> None:
    """One session: the client's books are the server's, up to the last packet that was taken."""
    assert answered == list(range(len(answered)))
    reasons = Counter(reason for _, reason in account.drops.elements())
    if not account.session_ids:
        assert isinstance(account.error, SegtritonError)
        assert account.error.code is ErrorCode.WORKER_LOST
        return
    (session_id,) = account.session_ids
    end = books.closed[session_id]
    assert (end.frames_in, end.frames_out, end.dropped) == (len(answered), len(account.packets), dict(reasons))
    if account.ended is not None:
        assert end.outcome == "complete"
        assert len(answered) == account.plan.recipe.frames
        return
    assert isinstance(account.error, SegtritonError)
    assert account.error.code in PASSING
    assert account.error.code.name == end.outcome


def add_totals(accounts: list[Account], killer: Killer) -> None:
    TOTALS["runs"] += 1
    TOTALS["clients"] += len(accounts)
    TOTALS["workers killed"] += len(killer.killed)
    for account in accounts:
        plan = account.plan
        TOTALS["packets given"] += plan.recipe.frames
        TOTALS["frames out"] += len(account.packets)
        TOTALS["frames reported dropped"] += account.drops.total()
        TOTALS["packets lost"] += len(plan.lost)
        TOTALS["packets doubled"] += len(plan.doubled)
        TOTALS["packets swapped"] += len(plan.swapped)
        TOTALS["connections cut"] += plan.leaves_after is not None
        TOTALS["resumed clients"] += plan.is_resuming
        TOTALS["readers paused"] += bool(plan.pauses)
