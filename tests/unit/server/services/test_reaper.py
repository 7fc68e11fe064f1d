"""The housekeeping goes on whatever fails in it, and shows no heartbeat while something does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from triton_python_backend_utils import MetricFamily

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.observability.metrics import MOST_OBSERVATIONS, Metrics
from segtriton_server.services.heartbeat import Heartbeat
from segtriton_server.services.order_file import OrderFile
from segtriton_server.services.reaper import Reaper
from segtriton_server.sessions.session_table import SessionTable
from segtriton_server.settings import Settings


class FakeSession:
    """A session of which Triton can, or cannot, say whether its client is there."""

    session_id, tenant = "a", ""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ended: list[ErrorCode] = []
        self.was_asked_to_migrate = False

    def is_cancelled(self, now: float) -> bool:
        if self.error:
            raise self.error
        return True

    def fail(self, code: ErrorCode, message: str) -> None:
        self.fail_with(SegtritonError(code, message))

    def fail_with(self, error: SegtritonError) -> None:
        self.ended.append(error.code)

    def ask_to_migrate(self, within_seconds: float) -> None:
        self.was_asked_to_migrate = True


class Scene:
    """Housekeeping that is done when a test says so, and how often it has beaten."""

    def __init__(self, folder: Path) -> None:
        self.drain_file, self.heartbeat_file = folder / "drain", folder / "heartbeat"
        self.table = SessionTable(9)
        self.metrics = Metrics(MetricFamily)
        self.missing = 0
        settings = Settings(drain_file=str(self.drain_file), idle_timeout=1.0)
        heartbeat = Heartbeat(str(self.heartbeat_file), 10.0, self.metrics)
        self.reaper = Reaper(settings, self.table, self.metrics, heartbeat, lambda: self.missing)
        self.now = time.monotonic()

    def admit(self, *sessions: FakeSession) -> None:
        for number, session in enumerate(sessions):
            session.session_id = str(number)
            self.table.admit(session, "")  # type: ignore[arg-type]

    def beats(self) -> bool:
        """Do one round, a while after the last; whether it showed a heartbeat."""
        self.now += 2.0
        self.heartbeat_file.unlink(missing_ok=True)
        self.reaper.look(self.now)
        return self.heartbeat_file.exists()

    def value(self, name: str) -> float:
        return float(self.metrics._metric((name, ())).value())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def fail(*arguments: object) -> Any:
    raise RuntimeError("no room")


def test_all_is_well(scene: Scene) -> None:
    session = FakeSession()
    scene.admit(session)

    assert scene.beats()
    assert session.ended == [ErrorCode.CANCELLED]


def test_a_step_that_fails_stops_the_heartbeat_and_no_other_step(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession()
    scene.admit(session)
    with monkeypatch.context() as broken:
        broken.setattr(OrderFile, "read", fail)
        assert not scene.beats()
        assert not scene.beats()
    assert session.ended[:1] == [ErrorCode.CANCELLED]
    assert scene.value("segtriton_housekeeping_failures_total") == 4

    scene.drain_file.write_text("migrate 5")
    assert scene.beats()
    assert scene.table.is_draining
    assert session.was_asked_to_migrate


def test_metrics_that_triton_does_not_take_are_handed_on_later(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.metrics.add("segtriton_streams_opened_total", 3)
    with monkeypatch.context() as broken:
        broken.setattr(scene.metrics, "_metric", fail)
        assert not scene.beats()

    assert scene.beats()
    assert scene.value("segtriton_streams_opened_total") == 3


def test_counters_are_handed_on_in_each_round_and_histograms_once_a_second(scene: Scene) -> None:
    scene.reaper.look(100.0)
    latency = scene.metrics._metric(("segtriton_frame_latency_seconds", ()))
    for round_number in range(30):
        scene.metrics.add("segtriton_streams_opened_total")
        for _ in range(100):
            scene.metrics.observe("segtriton_frame_latency_seconds", 0.1)
        scene.reaper.look(100.05 + round_number / 10)
        assert scene.value("segtriton_streams_opened_total") == round_number + 1

    assert len(latency.observations) == 2 * MOST_OBSERVATIONS


def test_a_session_that_fails_ends_alone(scene: Scene) -> None:
    broken, other = FakeSession(RuntimeError("no room")), FakeSession()
    scene.admit(broken, other)

    assert scene.beats()
    assert broken.ended == [ErrorCode.INTERNAL]
    assert other.ended == [ErrorCode.CANCELLED]


def test_workers_that_are_missing_are_told(scene: Scene) -> None:
    for missing in (2, 0):
        scene.missing = missing
        assert scene.beats()
        assert scene.value("segtriton_workers_missing") == missing
