from fractions import Fraction

import pytest

from segtriton_server.sessions.live_load import LiveLoad


@pytest.mark.parametrize(("sessions", "packets"), [(0, 1), (1, 1), (33, 1), (34, 2), (66, 2), (80, 3), (1000, 8)])
def test_messages_hold_as_many_packets_as_keep_them_below_the_limit(sessions: int, packets: int) -> None:
    load = LiveLoad(1000)
    for number in range(sessions):
        load.add(str(number), Fraction(30))
    assert load.group_packets == packets


def test_a_rate_that_no_camera_has_counts_as_the_fastest_camera() -> None:
    load = LiveLoad(800)
    for number in range(7):
        load.add(str(number), Fraction(2**31 - 1))
        assert load.group_packets == 1 + (number > 5)


def test_sessions_count_by_their_frame_rate_and_only_while_they_are_open() -> None:
    load = LiveLoad(100)
    load.add("film", Fraction(24000, 1001))
    load.add("unknown", None)
    assert load.group_packets == 1
    load.add("fast", Fraction(60))
    assert load.group_packets == 2
    load.remove("fast")
    load.remove("fast")
    assert load.group_packets == 1
