"""Whatever is lost, doubled or reordered on the way: each number is answered once, and the counts add up."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtriton_protocol import Drop, DropReason, ErrorCode, SegtritonError
from segtriton_server.sessions.credit_window import CreditWindow
from segtriton_server.sessions.ledger import Ledger

WINDOW = CreditWindow(packets=8, payload_bytes=100)


@st.composite
def arrivals(draw: st.DrawFn) -> list[int]:
    """Numbers 0..n as a bad line delivers them: some lost, some twice, some late."""
    numbers = draw(st.lists(st.integers(0, 30), max_size=60))
    return draw(st.permutations(numbers)) if draw(st.booleans()) else sorted(numbers)


@given(
    arrivals(),
    st.lists(st.tuples(st.sampled_from(["out", "drop", "damage", "overdue"]), st.integers(-1, 31)), max_size=80),
    st.integers(0, 40),
    st.integers(0, 12),
)
def test_every_number_is_answered_once(
    numbers: list[int], events: list[tuple[str, int]], next_seq: int, wanted_seq: int
) -> None:
    ledger = Ledger(wanted_seq=wanted_seq)
    out: list[int] = []
    drops: list[Drop] = []
    for position in range(max(len(numbers), len(events))):
        for seq in numbers[position : position + 1]:
            expected_new = seq >= ledger.next_seq
            is_new, missing = ledger.accept(seq, 1, now=float(position))
            assert is_new == expected_new
            drops += missing
        for event, seq in events[position : position + 1]:
            if event == "out" and ledger.settle_output(seq) is not None:
                out.append(seq)
            elif event == "drop":
                drops += ledger.settle_drop(seq, DropReason.DAMAGED)
            elif event == "damage":
                ledger.note_damage()
            elif event == "overdue":
                drops += ledger.drop_overdue()
        assert ledger.unanswered == ledger.received_packets - ledger.settled_packets >= 0
        assert ledger.received_bytes >= ledger.settled_bytes >= 0
    drops += ledger.finish(next_seq)

    last = max([next_seq, *(seq + 1 for seq in numbers)])
    assert Counter([*out, *(drop.seq for drop in drops)]) == Counter(range(wanted_seq, last))
    assert ledger.frames_in == max(0, last - wanted_seq)
    assert ledger.frames_out == len(out)
    assert ledger.dropped == Counter(drop.reason for drop in drops)
    assert ledger.frames_out + sum(ledger.dropped_by_reason().values()) == ledger.frames_in
    assert ledger.unanswered == 0
    assert ledger.settled_packets == ledger.received_packets == len(numbers)


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=60))
def test_whoever_keeps_to_the_credit_is_never_refused_and_never_below_zero(steps: list[tuple[int, bool]]) -> None:
    ledger = Ledger()
    seq = 0
    for size, settles in steps:
        if settles:
            ledger.settle_output(seq - ledger.unanswered)
        credit = WINDOW.credit(ledger)
        fits = ledger.received_packets < credit.packets and ledger.received_bytes + size <= credit.payload_bytes
        if fits:
            WINDOW.check(ledger, seq, size)
            ledger.accept(seq, size, now=0.0)
            seq += 1
        else:
            with pytest.raises(SegtritonError) as caught:
                WINDOW.check(ledger, seq, size)
            assert caught.value.code is ErrorCode.WINDOW_EXCEEDED
            assert caught.value.seq == seq
        credit = WINDOW.credit(ledger)
        assert credit.packets - ledger.received_packets >= 0
        assert credit.payload_bytes - ledger.received_bytes >= 0
        assert ledger.unanswered <= WINDOW.packets
        assert ledger.received_bytes - ledger.settled_bytes <= WINDOW.payload_bytes


def test_credit_only_grows() -> None:
    ledger = Ledger()
    before = WINDOW.credit(ledger)

    ledger.accept(0, 10, now=0.0)
    assert WINDOW.credit(ledger) == before
    ledger.settle_output(0)

    assert WINDOW.credit(ledger).packets == before.packets + 1
    assert WINDOW.credit(ledger).payload_bytes == before.payload_bytes + 10


def test_a_doubled_packet_gives_its_credit_back() -> None:
    ledger = Ledger()
    ledger.accept(0, 10, now=0.0)

    assert ledger.accept(0, 10, now=0.0) == (False, ())
    assert (ledger.settled_packets, ledger.settled_bytes) == (1, 10)
    assert ledger.frames_in == 1


def test_a_damaged_packet_is_found_when_it_gave_no_frame() -> None:
    ledger = Ledger()
    for seq in range(3):
        ledger.accept(seq, 1, now=0.0)
    ledger.note_damage()
    ledger.settle_output(0)
    ledger.settle_output(2)

    assert ledger.finish(3) == [Drop(1, DropReason.DAMAGED)]


def test_a_packet_far_behind_the_newest_output_is_dropped() -> None:
    ledger = Ledger()
    for seq in range(60):
        ledger.accept(seq, 1, now=0.0)
    ledger.settle_output(48)
    assert ledger.drop_overdue() == []

    ledger.settle_output(50)

    assert ledger.drop_overdue() == [Drop(0, DropReason.NO_FRAME), Drop(1, DropReason.NO_FRAME)]


def test_a_resumed_run_counts_from_the_wanted_number() -> None:
    ledger = Ledger(first_seq=10, wanted_seq=12)
    for seq in range(10, 14):
        ledger.accept(seq, 1, now=0.0)
    assert [ledger.settle_output(seq) is not None for seq in range(10, 14)] == [False, False, True, True]

    assert ledger.finish(14) == []
    assert (ledger.frames_in, ledger.frames_out) == (2, 2)
