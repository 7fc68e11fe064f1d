from segtriton_client.live_queue import LiveQueue
from segtriton_protocol import Packet


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def packet(seq: int, *, key: bool = False) -> Packet:
    return Packet(seq, seq, seq, 1, key, b"x")


def test_what_is_taken_in_time_is_kept() -> None:
    line = LiveQueue(1.0, Clock())
    for seq in range(3):
        line.put(packet(seq, key=seq == 0))

    assert [found.seq for found in line.take()] == [0, 1, 2]
    assert line.num_stale == 0


def test_what_waits_too_long_is_dropped_up_to_the_next_keyframe() -> None:
    clock = Clock()
    line = LiveQueue(1.0, clock)
    for seq in range(3):
        line.put(packet(seq, key=seq == 0))
    clock.now = 1.5
    for seq in range(3, 8):
        line.put(packet(seq, key=seq == 6))

    assert [found.seq for found in line.take()] == [6, 7]
    assert line.num_stale == 6


def test_the_line_never_holds_more_than_its_seconds() -> None:
    clock = Clock()
    line = LiveQueue(1.0, clock)
    for seq in range(1000):
        clock.now += 0.04
        line.put(packet(seq, key=seq % 25 == 0))
    waiting = line.take()

    assert len(waiting) <= 27
    assert line.num_stale + len(waiting) == 1000


def test_the_end_comes_after_the_last_packet() -> None:
    line = LiveQueue(1.0)
    line.read([packet(0, key=True)], lambda found: None)

    assert len(line.take()) == 1
    assert line.take() == []
