from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from echo_service import make_opened

from segtriton_client.replay import ReplayBuffer
from segtriton_client.stitching import StitchedOutputs
from segtriton_protocol import Credit, Drop, DropReason, Ended, Output, Packet, VideoFormat
from segtriton_protocol.frame_parts import FramePart, join_parts, split_parts

OPENED = make_opened(VideoFormat(codec="h264", width=64, height=48, time_base=Fraction(1, 25)))


def packet(seq: int) -> Packet:
    return Packet(seq, seq, seq, 1, seq == 0, b"picture")


@pytest.fixture
def stitched() -> StitchedOutputs:
    replay = ReplayBuffer()
    replay.add([packet(seq) for seq in range(8)], 0.0)
    replay.mark_sent(8)
    return StitchedOutputs(replay)


def begin(stitched: StitchedOutputs, parameter_sets: bytes) -> None:
    stitched.begin(dataclasses.replace(OPENED, output_extradata=parameter_sets))


def payloads(stitched: StitchedOutputs, *seqs: int) -> list[bytes]:
    output = stitched.take(Output(tuple(packet(seq) for seq in seqs), (), Credit(8, 100)), is_leaving=False)
    return [] if output is None else [one.payload for one in output.packets]


def test_parameter_sets_come_again_when_the_encoder_is_another(stitched: StitchedOutputs) -> None:
    begin(stitched, b"A")
    assert payloads(stitched, 0) == [b"picture"]
    begin(stitched, b"A")
    assert payloads(stitched, 1) == [b"picture"]
    begin(stitched, b"B")
    assert payloads(stitched, 2, 3) == [b"Bpicture", b"picture"]
    # The first one's again: they stand at the file's beginning, but the second one's have replaced them.
    begin(stitched, b"A")
    assert payloads(stitched, 4, 5) == [b"Apicture", b"picture"]


def test_parameter_sets_come_before_each_part_of_a_frame(stitched: StitchedOutputs) -> None:
    parts = [FramePart(b"blur", True), FramePart(b"mask", False)]
    for seq, sets in enumerate((b"A", b"B")):
        stitched.begin(dataclasses.replace(OPENED, output_extradata=sets, effects=("blur", "mask")))
        whole = dataclasses.replace(packet(seq), payload=join_parts(parts))
        output = stitched.take(Output((whole,), (), Credit(8, 100)), is_leaving=False)
        assert output is not None
    found = split_parts(output.packets[0].payload, 2)
    assert found == [FramePart(b"Bblur", True), FramePart(b"Bmask", False)]


def test_a_session_that_brought_no_picture_changed_nothing(stitched: StitchedOutputs) -> None:
    begin(stitched, b"A")
    begin(stitched, b"B")
    begin(stitched, b"A")
    assert payloads(stitched, 0) == [b"picture"]


def test_each_answer_counts_once(stitched: StitchedOutputs) -> None:
    begin(stitched, b"")
    assert payloads(stitched, 0, 1) == [b"picture"] * 2
    assert payloads(stitched, 1) == []
    lost = Output((), (Drop(2, DropReason.DAMAGED), Drop(3, DropReason.ABANDONED)), Credit(8, 100))
    assert stitched.take(lost, is_leaving=False) == dataclasses.replace(lost, drops=lost.drops[:1])

    account = stitched.account(Ended(9, 9, {}, "", {}))
    assert (account.frames_in, account.frames_out, account.frames_dropped) == (3, 2, {"damaged": 1})
    assert stitched.damaged == {2: "damaged"}


def test_without_a_pts_what_a_server_that_drains_still_gives_is_left_to_the_next() -> None:
    replay = ReplayBuffer()
    packets = [Packet(seq, None, seq, 1, seq == 0, b"picture") for seq in range(4)]
    replay.add(packets, 0.0)
    replay.mark_sent(4)
    stitched = StitchedOutputs(replay)
    begin(stitched, b"")

    first = stitched.take(Output((packets[0],), (), Credit(8, 100)), is_leaving=False)
    assert first is not None
    assert [one.pts for one in first.packets] == [0]
    assert stitched.take(Output((packets[3],), (), Credit(8, 100)), is_leaving=True) is None
    assert replay.num_unanswered == 3
