"""Fair between sessions, in order inside each, and never later than the deadline; the clock is the test's."""

import threading
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtriton_server.workers.frame_batcher import FrameBatcher

Item = tuple[str, int]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), st.integers(1, 6))
def test_order_is_kept_and_everybody_is_served_in_turn(arrivals: list[str], batch_size: int) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(batch_size, 0.0)
    for number, session in enumerate(arrivals):
        batcher.add(session, (session, number))
    served: list[Item] = []
    while len(served) < len(arrivals):
        batch = batcher.next_batch()
        assert 1 <= len(batch) <= batch_size
        served += batch

    for session in set(arrivals):
        of_session = [number for name, number in served if name == session]
        assert of_session == sorted(of_session)
    assert sorted(served) == sorted((session, number) for number, session in enumerate(arrivals))
    # While somebody else waits, nobody is served twice in a row.
    waiting = {session: arrivals.count(session) for session in arrivals}
    for session, run in groupby(served, key=lambda item: item[0]):
        for position, _ in enumerate(run):
            others = [name for name, count in waiting.items() if count and name != session]
            assert position == 0 or not others
            waiting[session] -= 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 9)), min_size=1, max_size=40), st.integers(1, 12))
def test_items_of_several_frames_fill_a_batch_but_do_not_overfill_it(
    arrivals: list[tuple[str, int]], batch_size: int
) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(batch_size, 0.0)
    for number, (session, size) in enumerate(arrivals):
        batcher.add(session, (session, number), size)
    waiting = {session: [number for number, (name, _) in enumerate(arrivals) if name == session] for session in "abcd"}
    while any(waiting.values()):
        batch = batcher.next_batch()
        frames = sum(arrivals[number][1] for _, number in batch)
        assert len(batch) == 1 or frames <= batch_size
        for session, number in batch:
            assert waiting[session].pop(0) == number
        left = [arrivals[numbers[0]][1] for numbers in waiting.values() if numbers]
        assert not left or frames + max(left) > batch_size


def test_an_item_larger_than_a_batch_goes_alone(clock: Clock) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(4, 0.0, clock)
    for session, size in (("a", 1), ("b", 9), ("c", 1), ("d", 3)):
        batcher.add(session, (session, size), size)

    assert [batcher.next_batch() for _ in range(3)] == [[("a", 1)], [("b", 9)], [("c", 1), ("d", 3)]]


def test_a_batch_is_full_by_its_frames(clock: Clock) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(8, 5.0, clock)
    batcher.add("a", ("a", 0), 5)
    batcher.add("b", ("b", 0), 3)

    assert batcher.next_batch() == [("a", 0), ("b", 0)]


def test_a_busy_session_cannot_push_another_out(clock: Clock) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(4, 0.0, clock)
    for number in range(20):
        batcher.add("busy", ("busy", number))
    batcher.add("quiet", ("quiet", 0))

    assert ("quiet", 0) in batcher.next_batch()


def test_who_joins_in_every_round_gets_an_equal_share(clock: Clock) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(3, 0.0, clock)
    for number in range(40):
        for session in "abcd":
            batcher.add(session, (session, number))
    served = [item for _ in range(20) for item in batcher.next_batch()]

    assert {session: sum(name == session for name, _ in served) for session in "abcd"} == dict.fromkeys("abcd", 15)


def test_a_full_batch_goes_at_once_and_a_part_of_one_at_its_deadline(clock: Clock) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(2, 5.0, clock)
    batcher.add("a", ("a", 0))
    batcher.add("a", ("a", 1))
    assert batcher.next_batch() == [("a", 0), ("a", 1)]

    batcher.add("a", ("a", 2))
    taken: list[list[Item]] = []
    waiter = threading.Thread(target=lambda: taken.append(batcher.next_batch()), daemon=True)
    waiter.start()
    waiter.join(0.05)
    assert taken == []

    clock.now += 5.0
    batcher.forget("nobody")
    batcher.close()  # wakes the waiter
    waiter.join(5)
    assert not waiter.is_alive()


def test_the_deadline_is_that_of_the_oldest(clock: Clock) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(8, 5.0, clock)
    batcher.add("a", ("a", 0))
    clock.now += 4.0
    batcher.add("b", ("b", 0))
    clock.now += 1.0

    assert batcher.next_batch() == [("a", 0), ("b", 0)]


def test_a_real_deadline_passes_without_any_call() -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(8, 0.02)
    batcher.add("a", ("a", 0))

    assert batcher.next_batch() == [("a", 0)]


def test_a_waiting_call_is_woken_by_the_first_item() -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(8, 0.0)
    timer = threading.Timer(0.02, lambda: batcher.add("a", ("a", 0)))
    timer.start()

    assert batcher.next_batch() == [("a", 0)]
    timer.join()


def test_a_forgotten_session_is_not_served(clock: Clock) -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(4, 0.0, clock)
    batcher.add("gone", ("gone", 0))
    batcher.add("here", ("here", 0))
    batcher.forget("gone")

    assert batcher.next_batch() == [("here", 0)]


def test_a_closed_batcher_gives_an_empty_batch() -> None:
    batcher: FrameBatcher[Item] = FrameBatcher(4, 0.0)
    batcher.close()

    assert batcher.next_batch() == []


def test_an_item_for_which_nothing_is_to_be_done_keeps_its_place() -> None:
    batcher: FrameBatcher[str] = FrameBatcher(batch_size=2, deadline_seconds=0.0)
    for item, size in (("first", 1), ("rides along", 0), ("second", 1), ("too many", 1)):
        batcher.add("session", item, size)

    assert batcher.next_batch() == ["first", "rides along", "second"]
    assert batcher.next_batch() == ["too many"]
