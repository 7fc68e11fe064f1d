"""Each frame that leaves the decoder goes on or is booked, by the packet that it was coded in."""

from collections.abc import Sequence
from fractions import Fraction

from pipeline_parts import SIZE, Numbered

from segtriton_protocol import Drop, DropReason, Packet, VideoFormat
from segtriton_server.encoders.encoder import FrameTag
from segtriton_server.media.decoder import FrameGroup
from segtriton_server.workers.admission import Admission
from segtriton_server.workers.results import Results

VIDEO = VideoFormat("mjpeg", 64, 48, Fraction(1, 25))


def group_of(*seqs: int, size_hw: tuple[int, int] = SIZE) -> FrameGroup:
    return FrameGroup(seqs, Numbered(seqs, size_hw))


def admission_for(num_packets: int, wanted_seq: int = 0, hidden: Sequence[int] = ()) -> Admission:
    admission = Admission(VIDEO, wanted_seq)
    for seq in range(num_packets):
        admission.expect(Packet(seq, seq * 10, seq * 10, 10, True, b"x", is_hidden=seq in hidden), Results())
    return admission


def test_a_frame_gets_the_tag_of_its_packet() -> None:
    results = Results()
    admitted = admission_for(4).admit(group_of(0, 1), results)

    assert admitted == (group_of(0, 1), (FrameTag(0, 0, 10), FrameTag(1, 10, 10)))
    assert results == Results()


def test_those_in_between_are_booked_and_cut_out() -> None:
    results = Results()
    admission = admission_for(8, wanted_seq=2, hidden=(4,))
    admitted = admission.admit(group_of(0, 1, 2, -1, 4, 2, 5), results)

    assert admitted == (group_of(2, 5), (FrameTag(2, 20, 10), FrameTag(5, 50, 10)))
    assert results.skipped == [0, 1]
    assert results.drops == [Drop(4, DropReason.HIDDEN)]


def admission_with(pts_by_seq: Sequence[int]) -> Admission:
    admission = Admission(VIDEO, 0)
    for seq, pts in enumerate(pts_by_seq):
        admission.expect(Packet(seq, pts, seq, 10, seq == 0, b"x"), Results())
    return admission


def test_a_picture_that_was_overtaken_is_dropped_so_that_time_never_goes_back() -> None:
    results = Results()
    # A group's keyframe is lost: the decoder gives a later group's picture first.
    admitted = admission_with([0, 30, 10, 20, 60, 50]).admit(group_of(0, 2, 5, 3, 1, 4), results)

    assert admitted is not None
    assert [tag.pts for tag in admitted[1]] == [0, 10, 50, 60]
    assert results.drops == [Drop(3, DropReason.DAMAGED), Drop(1, DropReason.DAMAGED)]


def test_timestamps_that_the_input_itself_sets_back_stay() -> None:
    results = Results()
    admitted = admission_with([100, 110, 0, 10]).admit(group_of(0, 1, 2, 3), results)

    assert admitted is not None
    assert [tag.pts for tag in admitted[1]] == [100, 110, 0, 10]
    assert not results.drops


def test_of_a_group_that_is_all_booked_nothing_goes_on() -> None:
    results = Results()

    assert admission_for(3, wanted_seq=3).admit(group_of(0, 1, 2), results) is None
    assert results.skipped == [0, 1, 2]


def test_a_mended_frame_is_marked() -> None:
    mended = FrameGroup((1, 2), Numbered((1, 2), SIZE), damaged=frozenset({2}))
    admitted = admission_for(4).admit(mended, Results())

    assert admitted is not None
    assert [tag.is_damaged for tag in admitted[1]] == [False, True]


def test_packets_that_gave_no_frame_are_forgotten_in_time() -> None:
    admission = admission_for(101, hidden=(3, 100))
    admission.admit(group_of(100), Results())
    results = Results()

    assert admission.admit(group_of(3, 35), results) is None
    assert results == Results()
    assert admission.admit(group_of(36), results) is not None


def test_packets_that_the_decoder_refuses_in_turn_are_booked() -> None:
    results = Results()
    admission = Admission(VIDEO, 0)
    for seq in range(70):
        admission.expect(Packet(seq, seq, seq, 1, True, b"x"), results)

    assert results.drops == [Drop(seq, DropReason.NO_FRAME) for seq in range(5)]


def test_pictures_that_refer_to_what_was_before_the_first_are_hidden() -> None:
    results = Results()
    # Behind the keyframe come two pictures that are shown before it, and the decoder leaves them out.
    admission = admission_with([30, 10, 20, 60, 40, 50])
    admission.admit(group_of(0), results)
    assert results.drops == []
    admission.admit(group_of(4, 5, 3), results)

    assert results.drops == [Drop(1, DropReason.HIDDEN), Drop(2, DropReason.HIDDEN)]
    assert admission.notes == ("2 frames at the beginning refer to frames before it; they cannot be shown.",)


def test_pictures_before_the_recovery_point_are_hidden() -> None:
    results = Results()
    admission = admission_with([0, 10, 20, 30])
    admission.admit(group_of(2, 3), results)

    assert results.drops == [Drop(0, DropReason.HIDDEN), Drop(1, DropReason.HIDDEN)]


def test_after_damage_what_is_missing_is_lost() -> None:
    results = Results()
    admission = admission_with([0, 10, 20, 30])
    admission.note_damage()
    admission.admit(group_of(2, 3), results)

    assert results.drops == []
    assert admission.notes == ()


def test_a_clock_that_goes_back_later_hides_nothing() -> None:
    results = Results()
    admission = admission_with([100, 110, 0, 30, 10, 20])
    admission.admit(group_of(0, 1, 2, 4, 5, 3), results)

    assert results.drops == []


def test_a_packet_without_a_picture_is_hidden_at_once() -> None:
    results = Results()
    admission = Admission(VideoFormat("h264", 64, 48, Fraction(1, 25)), 0)
    admission.expect(Packet(0, 0, 0, 1, False, b"\0\0\0\1\x09\xf0"), results)

    assert results.drops == [Drop(0, DropReason.HIDDEN)]


def test_frames_that_stay_here_warm_up_those_that_go_on() -> None:
    admission = Admission(VIDEO, wanted_seq=40, answered_seqs=[41])
    for seq in range(44):
        admission.expect(Packet(seq, seq * 10, seq * 10, 10, True, b"x", is_hidden=seq == 39), Results())

    assert admission.replayed(group_of(0, 7), 32) is None  # too long ago
    assert admission.replayed(group_of(0, 7)) == group_of(0, 7)
    assert admission.replayed(group_of(8, 38, 39, 40, 41, 42, 99), 32) == group_of(8, 38, 41)
    assert admission.replayed(group_of(42, 43), 32) is None


def test_a_keyframe_restarts_what_a_resumed_session_would_begin_with() -> None:
    admission = Admission(VIDEO, 0)
    for seq, is_keyframe in enumerate([True, False, False, True, True, True, False, True]):
        admission.expect(Packet(seq, seq * 10, seq * 10, 10, is_keyframe, b"x"), Results())

    assert [seq for seq in range(8) if admission.restarts(group_of(seq))] == [0, 3, 7]
    assert admission.restarts(group_of(1, 2, 3))
