from fractions import Fraction

import pytest

from segtriton_server.services.message_cost import ASSUMED_MESSAGES_PER_SECOND, MessageCost
from segtriton_server.sessions.live_load import LiveLoad


class Host:
    """A router on a machine where each message costs so much, and sessions of 30 frames a second."""

    def __init__(self, sessions: int) -> None:
        self.load = LiveLoad(ASSUMED_MESSAGES_PER_SECOND)
        self.used = 0.0
        self.now = 0.0
        self.cost = MessageCost(self.load, lambda: self.used)
        self.cost.look(self.now)
        for number in range(sessions):
            self.load.add(str(number), Fraction(30))

    def run(self, seconds: int, seconds_each: float, messages: int = 1000) -> None:
        for _ in range(seconds):
            for _ in range(messages):
                self.cost.count()
            self.used += messages * seconds_each
            self.now += 1.0
            self.cost.look(self.now)


@pytest.mark.parametrize(("seconds_each", "packets"), [(0.0005, 2), (0.00095, 3), (0.002, 6), (0.01, 8)])
def test_the_slower_the_machine_the_more_packets_go_into_a_message(seconds_each: float, packets: int) -> None:
    host = Host(sessions=100)
    host.run(20, seconds_each)
    assert host.load.group_packets == packets


def test_a_slow_second_changes_little() -> None:
    host = Host(sessions=100)
    host.run(20, 0.0005)
    host.run(1, 0.002)
    assert host.load.group_packets == 3
    host.run(5, 0.0005)
    assert host.load.group_packets == 2


def test_few_messages_say_nothing_about_their_cost() -> None:
    host = Host(sessions=100)
    host.run(20, 0.05, messages=20)
    assert host.load.messages_per_second == ASSUMED_MESSAGES_PER_SECOND


def test_a_cost_that_wavers_about_the_limit_does_not_change_the_groups_each_second() -> None:
    host = Host(sessions=100)
    seen = set()
    for _ in range(20):
        host.run(1, 0.00105)
        host.run(1, 0.00097)
        seen.add(host.load.group_packets)
    assert len(seen) == 1
