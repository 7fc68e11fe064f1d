"""Each frame goes out once, with the outputs of all encoders, however many frames each holds back."""

import random

from segtriton_protocol.frame_parts import FramePart, split_parts
from segtriton_server.encoders.encoder import EncodedFrame, FrameTag
from segtriton_server.workers.joined_frames import JoinedFrames


def frame(seq: int, payload: bytes, is_keyframe: bool = False) -> EncodedFrame:
    return EncodedFrame(FrameTag(seq, seq, 1), payload, is_keyframe)


def test_one_output_goes_through_as_it_is() -> None:
    joined = JoinedFrames(1)
    frames = [frame(0, b"a", is_keyframe=True), frame(1, b"b")]
    joined.add(0, frames)

    assert joined.take() == frames
    assert joined.take() == []


def test_a_frame_waits_for_the_encoder_that_holds_it_back() -> None:
    joined = JoinedFrames(2)
    joined.add(0, [frame(3, b"blur", is_keyframe=True), frame(1, b"blur2")])
    assert joined.take() == []

    joined.add(1, [frame(3, b"mask")])
    (whole,) = joined.take()
    assert (whole.tag.seq, whole.is_keyframe) == (3, False)  # only where all parts are one
    assert split_parts(whole.payload, 2) == [FramePart(b"blur", True), FramePart(b"mask", False)]
    joined.add(1, [frame(1, b"mask2", is_keyframe=True)])
    assert [split_parts(each.payload, 2)[0].payload for each in joined.take()] == [b"blur2"]


def test_every_frame_comes_out_once_and_in_order() -> None:
    dice = random.Random(5)
    joined, given, taken = JoinedFrames(3), [0, 0, 0], []
    while min(given) < 200:
        position, count = dice.randrange(3), dice.randrange(4)
        numbers = range(given[position], min(given[position] + count, 200))
        joined.add(position, [frame(number, b"%d %d" % (position, number)) for number in numbers])
        given[position] = max(given[position], numbers.stop)
        taken += joined.take()

    assert [each.tag.seq for each in taken] == list(range(200))
    for number, each in enumerate(taken):
        assert [part.payload for part in split_parts(each.payload, 3)] == [b"%d %d" % (at, number) for at in range(3)]
