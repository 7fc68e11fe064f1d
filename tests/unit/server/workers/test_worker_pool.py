"""Workers that die, hang or cannot be started: they come back, and each of their sessions is told."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import odd_worker
import process_tree
import pytest

from segtriton_protocol import Open, Packet, SegtritonError, VideoFormat
from segtriton_protocol.packets import PacketBlock
from segtriton_server.settings import Settings
from segtriton_server.workers import worker_pool
from segtriton_server.workers.channel import AnyMessage, Channel, ChannelMessage
from segtriton_server.workers.worker_pool import WorkerPool, restart_pause

wait_until = partial(process_tree.wait_until, seconds=20.0)

OPEN = Open(video=VideoFormat("h264", 64, 48, Fraction(1, 25)))


@dataclass
class Scene:
    """A pool of one worker, what it has told, and how the next worker behaves."""

    python: Path
    how: Path
    messages: list[str] = field(default_factory=list)
    lost: list[tuple[str, bool]] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    on_message: Callable[[AnyMessage], object] = lambda message: None
    on_lost: Callable[[], object] = lambda: None

    def start(self, **settings: Any) -> WorkerPool:
        self.pool = WorkerPool(
            Settings(workers=1, python=str(self.python), stage_deadline=1.0, **settings),
            on_message=self._note_message,
            on_lost=self._note_lost,
            on_restart=lambda: self.restarts.append(time.monotonic()),
        )
        self.pool.start()
        return self.pool

    def _note_message(self, message: AnyMessage) -> None:
        assert isinstance(message, ChannelMessage)
        self.messages.append(message.kind)
        self.on_message(message)

    def _note_lost(self, session_id: str, hung: bool) -> None:
        self.lost.append((session_id, hung))
        self.on_lost()

    def kill_worker(self) -> None:
        for pid in self.pool.worker_pids():
            os.kill(pid, signal.SIGKILL)

    def serves(self) -> bool:
        """Whether a session can be opened."""
        count = self.messages.count("opened")
        try:
            self.pool.open(f"{count}", OPEN)
        except SegtritonError:
            return False
        return wait_until(lambda: self.messages.count("opened") > count, seconds=5)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(worker_pool, "_MIN_RESTART_SECONDS", 0.2)
    how, python = tmp_path / "how", tmp_path / "python"
    how.write_text("well")
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{odd_worker.__file__}" "{how}" "$@"\n')
    python.chmod(0o755)
    scene = Scene(python, how)
    yield scene
    scene.pool.close()


def fail(*arguments: object) -> None:
    raise RuntimeError("Failed to increase the shared memory pool size")


def test_a_dead_worker_is_replaced_though_its_sessions_cannot_be_told(scene: Scene) -> None:
    pool = scene.start()
    scene.on_lost = fail
    for session_id in ("a", "b"):
        pool.open(session_id, OPEN)
    scene.kill_worker()

    assert wait_until(lambda: len(scene.restarts) == 1)
    assert sorted(scene.lost) == [("a", False), ("b", False)]
    assert wait_until(scene.serves)


def test_a_worker_that_cannot_be_started_is_tried_again_until_it_can(scene: Scene) -> None:
    pool = scene.start()
    hidden = scene.python.rename(scene.python.with_name("hidden"))
    scene.kill_worker()

    assert wait_until(lambda: pool.count_missing() == 1)
    time.sleep(1.5)
    assert pool.count_missing() == 1
    assert not scene.restarts

    hidden.rename(scene.python)
    assert wait_until(lambda: pool.count_missing() == 0)
    assert scene.serves()


def test_workers_that_die_before_they_are_ready_are_tried_again(scene: Scene) -> None:
    pool = scene.start()
    scene.how.write_text("dying")
    scene.kill_worker()
    assert wait_until(lambda: len(scene.restarts) == 3)
    assert pool.count_missing() == 1

    scene.how.write_text("well")
    assert wait_until(lambda: pool.count_missing() == 0)
    assert scene.serves()


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [restart_pause(failures) for failures in range(2000)]

    assert pauses[:4] == [1, 2, 4, 8]
    assert set(pauses[5:]) == {30}


def test_an_open_without_an_answer_is_a_hang(scene: Scene) -> None:
    scene.how.write_text("deaf")
    pool = scene.start()
    pool.open("a", OPEN)
    scene.how.write_text("well")

    assert wait_until(lambda: scene.lost == [("a", True)])
    assert wait_until(lambda: pool.count_missing() == 0)
    assert scene.serves()


def test_a_worker_that_cannot_be_read_is_replaced(scene: Scene) -> None:
    scene.how.write_text("garbage")
    pool = scene.start()
    pool.open("a", OPEN)
    scene.how.write_text("well")

    assert wait_until(lambda: scene.lost == [("a", False)])
    assert wait_until(scene.serves)


def test_a_message_that_cannot_be_handled_costs_its_worker(scene: Scene) -> None:
    pool = scene.start()
    scene.on_message = fail
    pool.open("a", OPEN)

    assert wait_until(lambda: scene.lost == [("a", False)])
    scene.on_message = lambda message: None
    assert wait_until(scene.serves)


def test_a_writer_that_fails_costs_its_worker(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = scene.start()
    pool.open("a", OPEN)
    monkeypatch.setattr(Channel, "send", fail)
    pool.put("a", PacketBlock.pack([Packet(0, 0, 0, 1, True, bytes(4 << 20))]))  # more than a socket takes at once

    assert wait_until(lambda: scene.lost == [("a", False)])
    assert wait_until(scene.serves)


def test_the_watch_ends_the_process_if_it_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr("os._exit", lambda status: ended.set())
    pool = scene.start()
    monkeypatch.setattr(pool, "_check", fail)

    assert ended.wait(10)
