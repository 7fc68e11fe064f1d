import pytest

from segtriton_protocol import SegtritonError
from segtriton_server.workers.message_budget import MessageBudget

PACKETS = 1000


def spend(budget: MessageBudget, count: int) -> None:
    for _ in range(count):
        budget.spend()


def test_work_brings_messages() -> None:
    budget = MessageBudget()
    for _ in range(10):
        budget.earn(PACKETS)
        spend(budget, 3 * PACKETS)


def test_without_work_there_are_few() -> None:
    budget = MessageBudget()
    with pytest.raises(SegtritonError, match="messages came for work"):
        spend(budget, 100_000)


def test_time_brings_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    budget = MessageBudget()
    for _ in range(100_000):
        now[0] += 0.5
        spend(budget, 4)
