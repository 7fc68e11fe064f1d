"""A pool whose workers are no processes: what it does with what they say and use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from threading import Event

import pytest

from segtriton_protocol import Open, VideoFormat
from segtriton_protocol.packets import PacketBlock
from segtriton_server.settings import Settings
from segtriton_server.workers import frame_threads, worker_pool
from segtriton_server.workers.channel import ChannelMessage, SessionResults
from segtriton_server.workers.process_usage import ProcessUsage
from segtriton_server.workers.worker_pool import WorkerPool

OPEN = Open(video=VideoFormat("h264", 64, 48, Fraction(1, 25)))


class FakeWorker:
    """Stands for a worker that is ready; it says what the test lets it say."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        on_message: Callable[[FakeWorker, ChannelMessage], None],
        on_death: Callable[[FakeWorker], None],
    ) -> None:
        self.pid = id(self)
        self.started = time.monotonic()
        self.ready, self.dead, self.killed = Event(), Event(), Event()
        self.ready.set()
        self.say = lambda message: on_message(self, message)
        self.sent: list[ChannelMessage] = []

    def send(self, message: ChannelMessage) -> None:
        self.sent.append(message)

    def seconds_without_progress(self, now: float) -> float:
        return 0.0

    def kill(self) -> None:
        self.killed.set()

    def close(self) -> None:
        """Nothing runs."""


Started = tuple[WorkerPool, list[FakeWorker], list[ChannelMessage]]


@pytest.fixture
def usage() -> dict[int, ProcessUsage]:
    """What processes use, by their ids."""
    return {}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, usage: dict[int, ProcessUsage]) -> Iterator[Started]:
    """A pool of two workers, which are there too, and what it passes on."""
    monkeypatch.setattr(worker_pool, "Worker", FakeWorker)
    monkeypatch.setattr(worker_pool, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(worker_pool, "read_usage", usage.get)
    heard: list[ChannelMessage] = []
    pool = WorkerPool(Settings(workers=2), heard.append, lambda session_id, hung: None, lambda: None)
    pool.start()
    yield pool, [place.worker for place in pool._places], heard  # type: ignore[misc]
    pool.close()


def test_a_worker_answers_for_its_own_sessions(started: Started) -> None:
    pool, (first, second), heard = started
    pool.open("one", OPEN)
    pool.open("two", OPEN)
    messages = [ChannelMessage("ended", "one"), ChannelMessage("ended", "two"), ChannelMessage("beat")]
    first.say(messages[0])
    second.say(messages[1])
    second.say(messages[2])

    assert heard == messages
    assert not first.killed.is_set()
    assert not second.killed.is_set()


def test_one_that_answers_for_a_session_of_another_is_ended(started: Started) -> None:
    pool, (first, second), heard = started
    pool.open("one", OPEN)
    second.say(ChannelMessage("failed", "one"))

    assert heard == []
    assert second.killed.is_set()
    assert not first.killed.is_set()


def test_what_comes_after_a_session_has_closed_is_late_and_no_fault(started: Started) -> None:
    pool, (first, _), heard = started
    pool.open("one", OPEN)
    pool.release("one")
    first.say(SessionResults("one", PacketBlock.pack(())))

    assert heard == []
    assert not first.killed.is_set()


def test_each_session_is_given_the_frame_threads_that_those_before_it_leave(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_threads, "num_cores", lambda: 6)
    pool, (first, second), _ = started
    for session_id in ("one", "two", "three"):
        pool.open(session_id, OPEN)
    pool.release("one")
    pool.open("four", replace(OPEN, mode="live"))
    pool.open("five", OPEN)

    given = {
        message.session_id: message.body["num_frame_threads"]
        for message in (*first.sent, *second.sent)
        if message.kind == "open"
    }
    assert given == {"one": 6, "two": 3, "three": 2, "four": 1, "five": 1}


@pytest.mark.parametrize("excess", [ProcessUsage(4000, 0), ProcessUsage(1, 1 << 40)])
def test_one_that_uses_too_much_is_ended(
    started: Started, usage: dict[int, ProcessUsage], excess: ProcessUsage
) -> None:
    _, (first, second), _ = started
    usage[second.pid] = ProcessUsage(20, 1 << 20)
    usage[first.pid] = excess

    assert first.killed.wait(10)
    assert not second.killed.is_set()
