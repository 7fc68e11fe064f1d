from segtriton_client.turns import Turns


def answer(turns: Turns, num_waiting: int, times: int = 1) -> int:
    for _ in range(times):
        turns.note_answer(num_waiting)
    return turns.num_packets


def test_messages_grow_while_answers_come_too_late_and_not_without_end() -> None:
    turns = Turns()
    assert [answer(turns, waiting, times=3) for waiting in (0, 1, 1, 2, 3, 9, 9, 9, 9, 9)] == [
        1,
        2,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        8,
    ]


def test_single_late_answers_change_nothing() -> None:
    turns = Turns()
    assert [answer(turns, waiting) for waiting in (5, 5, 0, 5, 5, 0)] == [1] * 6


def test_smaller_messages_are_tried_after_prompt_answers_in_a_row() -> None:
    turns = Turns()
    assert answer(turns, 1, times=3) == 2
    assert answer(turns, 0, times=15) == 2
    assert answer(turns, 1) == 2  # neither late nor prompt
    assert answer(turns, 0, times=15) == 2
    assert answer(turns, 0) == 1


def test_who_tried_in_vain_tries_less_often() -> None:
    turns = Turns()
    packets = []
    for _ in range(7):
        answer(turns, 1, times=3)
        packets.append(0)
        while turns.num_packets == 2:
            answer(turns, 0)
            packets[-1] += 2
    assert packets == [32, 64, 128, 256, 512, 512, 512]
