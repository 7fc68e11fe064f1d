from segtriton_client.replay import ReplayBuffer
from segtriton_protocol import Packet


def packet(seq: int, pts: int, *, key: bool = False) -> Packet:
    return Packet(seq, pts, seq, 1, key, b"x" * 10)


def answer(buffer: ReplayBuffer, *seqs: int) -> list[bool]:
    return [buffer.settle(seq, 2.0, is_frame=True) for seq in seqs]


def test_begins_again_at_the_keyframe_before_the_first_unanswered() -> None:
    buffer = ReplayBuffer()
    buffer.add([packet(0, 0, key=True), packet(1, 1), packet(2, 2, key=True), packet(3, 3)], 1.0)
    buffer.mark_sent(4)
    assert answer(buffer, 0, 1, 2) == [True, True, True]

    assert buffer.rewind() == 2
    assert [kept.seq for kept in buffer.peek(9)] == [2, 3]
    assert buffer.wanted_seq == 3
    assert buffer.answered_seqs == ()
    assert list(buffer.latencies) == [1.0, 1.0, 1.0]


def test_names_pictures_that_came_before_their_turn() -> None:
    buffer = ReplayBuffer()
    buffer.add([packet(0, 0, key=True), packet(1, 3), packet(2, 1), packet(3, 2)], 1.0)
    buffer.mark_sent(4)
    answer(buffer, 0, 2)

    assert (buffer.rewind(), buffer.wanted_seq, buffer.answered_seqs) == (0, 1, (2,))


def test_an_open_group_needs_the_group_before_it() -> None:
    buffer = ReplayBuffer()
    # Packet 3 follows the keyframe 2 and is shown before it: it refers to the group before.
    buffer.add([packet(0, 0, key=True), packet(1, 1), packet(2, 5, key=True), packet(3, 4)], 1.0)
    buffer.mark_sent(4)
    answer(buffer, 0, 1)

    assert buffer.rewind() == 0


def test_without_a_pts_any_group_may_be_open_until_its_keyframe_is_answered() -> None:
    buffer = ReplayBuffer()
    buffer.add([Packet(seq, None, seq, 1, seq in (0, 2), b"x" * 10) for seq in range(4)], 1.0)
    buffer.mark_sent(4)
    answer(buffer, 0, 1)
    assert buffer.rewind() == 0

    buffer.mark_sent(4)
    answer(buffer, 3, 2)
    assert buffer.rewind() == 2


def test_an_answer_counts_once() -> None:
    buffer = ReplayBuffer()
    buffer.add([packet(0, 0, key=True)], 1.0)

    assert answer(buffer, 0, 0) == [True, False]
    assert buffer.num_unanswered == 0


def test_what_grew_too_large_cannot_be_replayed() -> None:
    buffer = ReplayBuffer(most_bytes=25)
    for seq in range(3):
        buffer.add([packet(seq, seq, key=seq == 0)], 1.0)
        buffer.mark_sent(1)

    assert buffer.rewind() is None


def test_the_reorder_depth_is_that_of_the_packets_that_are_kept() -> None:
    buffer = ReplayBuffer()
    assert buffer.reorder_frames == 0
    buffer.add([packet(0, 0, key=True), packet(1, 4), packet(2, 2), packet(3, 1), packet(4, 3)], 1.0)

    assert buffer.reorder_frames == 2


def test_frames_without_a_pts_take_the_decoding_times_in_turn() -> None:
    buffer = ReplayBuffer()
    buffer.add([Packet(seq, None, 10 * seq, 10, seq == 0, b"x") for seq in range(5)], 1.0)
    shown = []
    for seq in (0, 3, 2):
        buffer.settle(seq, 2.0, is_frame=True)
        shown.append(buffer.display_time(None))
    buffer.settle(1, 2.0, is_frame=False)
    buffer.settle(4, 2.0, is_frame=True)

    assert [*shown, buffer.display_time(None)] == [0, 10, 20, 40]
