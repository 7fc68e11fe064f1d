from __future__ import annotations

import math
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segtriton_protocol import Drop, DropReason, Packet, SegtritonError
from segtriton_protocol.packets import PacketBlock
from segtriton_server.workers.channel import (
    STAGES,
    AnyMessage,
    Channel,
    ChannelMessage,
    SessionPackets,
    SessionResults,
)

SESSION = "0123456789abcdef" * 2
PACKET = Packet(0, None, -3, 1, True, b"x")
ROW = struct.pack("=6q", 0, 1, 0, 0, 0, 0)
NO_STAGES = bytes(12 * len(STAGES))


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = map(Channel, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


SEQS = st.integers(0, 2**62 - 1)
BLOCKS = st.lists(st.binary(min_size=1, max_size=50) | st.just(bytes(200_000)), max_size=4).map(
    lambda payloads: PacketBlock.pack(
        [Packet(seq, None, -seq, seq, seq == 0, payload, seq == 1, seq == 2) for seq, payload in enumerate(payloads)]
    )
)
RESULTS = st.builds(
    SessionResults,
    st.just(SESSION),
    BLOCKS,
    st.lists(st.builds(Drop, SEQS, st.sampled_from([DropReason.DAMAGED, DropReason.NO_FRAME, DropReason.HIDDEN]))),
    st.lists(SEQS, max_size=3),
    st.integers(0, 1024),
    st.dictionaries(st.sampled_from(STAGES), st.tuples(st.floats(0, 1000), st.integers(1, 1000))),
)
MESSAGES = (
    st.builds(
        ChannelMessage,
        st.just("kind"),
        st.text(max_size=3),
        st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
    )
    | st.builds(SessionPackets, st.just(SESSION), BLOCKS)
    | RESULTS
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_messages_arrive_as_they_were_sent(ends: tuple[Channel, Channel], messages: list[AnyMessage]) -> None:
    sending = threading.Thread(target=ends[0].send, args=[message.pack() for message in messages])
    sending.start()

    received = [ends[1].receive() for _ in messages]
    sending.join()
    assert list(map(listed, received)) == list(map(listed, messages))


def listed(message: AnyMessage) -> AnyMessage:
    if isinstance(message, SessionResults):
        message.drops, message.skipped = list(message.drops), list(message.skipped)
    return message


def test_messages_that_do_not_fit_the_buffer_together_are_read_one_after_the_other(
    ends: tuple[Channel, Channel],
) -> None:
    packets = [Packet(seq, seq, seq, 1, True, bytes([seq]) * (100_000 + seq)) for seq in range(20)]
    frames = [SessionPackets(SESSION, PacketBlock.pack([packet])).pack() for packet in packets]
    sending = threading.Thread(target=ends[0].send, args=frames)
    sending.start()

    received = [ends[1].receive() for _ in frames]
    sending.join()
    assert [message.block.unpack() for message in received] == [[packet] for packet in packets]  # type: ignore[union-attr]


def test_a_block_is_passed_on_as_it_came(ends: tuple[Channel, Channel]) -> None:
    block = PacketBlock.pack([PACKET, PACKET])
    ends[0].send(SessionPackets(SESSION, block).pack())
    received = ends[1].receive()

    assert isinstance(received, SessionPackets)
    assert (received.block.index, bytes(received.block.payload)) == (block.index, block.payload)
    assert received.block.unpack() == [PACKET, PACKET]


def test_the_end_of_the_other_side_is_seen(ends: tuple[Channel, Channel]) -> None:
    ends[0].close()

    with pytest.raises(EOFError):
        ends[1].receive()


def packets(num_packets: int, index: bytes, payload: bytes, session: bytes = b"session") -> bytes:
    return struct.pack("=B32sI", 1, session, num_packets) + index + payload


def results(
    counts: tuple[int, int, int, int] = (0, 0, 0, 0),
    rest: bytes = b"",
    stages: bytes = NO_STAGES,
    session: bytes = b"session",
) -> bytes:
    return struct.pack("=B32s4I", 2, session, *counts) + stages + rest


def stage(frames: int, seconds: float) -> bytes:
    return struct.pack("=Id", frames, seconds) + NO_STAGES[12:]


UNREADABLE = {
    "nothing": b"",
    "a type that there is not": b"\3",
    "no JSON": b"\0{",
    "no text": b"\0\xff\xff",
    "a JSON that is too deep": b"\0" + b"[" * 200_000,
    "a number that is too long": b"\0" + b"9" * 10_000,
    "too few parts": b'\0["ended","session"]',
    "a kind that is a number": b'\0[1,"session",{}]',
    "a session that is a list": b'\0["ended",[],{}]',
    "a body that is a list": b'\0["ended","session",[]]',
    "a JSON that is too long": b'\0["ended","session",{"x":"' + b"x" * (3 << 20) + b'"}]',
    "packets without a head": b"\1" + b"session",
    "an index that is cut off": packets(1, ROW[:-1], b""),
    "fewer packets than are counted": packets(2**32 - 1, ROW, b"x"),
    "a payload without an index": packets(0, b"", b"x"),
    "a packet without bytes": packets(1, bytes(48), b""),
    "too many packets": packets(2000, ROW * 2000, b"x" * 2000),
    "results without a head": b"\2" + b"session",
    "results without stages": results(stages=b""),
    "a session that is no text": results(session=b"\xff"),
    "coded frames that are cut off": results((1, 0, 0, 0), ROW),
    "coded frames beyond all bounds": results((2**32 - 1, 0, 0, 0), ROW + b"x"),
    "a payload of no frame": results(rest=b"x"),
    "a frame with a number below 0": results((1, 0, 0, 0), struct.pack("=6q", -1, 1, 0, 0, 0, 0) + b"x"),
    "a frame with a time beyond all": results((1, 0, 0, 0), struct.pack("=6q", 0, 1, 2**63 - 1, 0, 0, 0) + b"x"),
    "a frame with a flag that there is not": results((1, 0, 0, 0), struct.pack("=6q", 0, 1, 0, 0, 0, 8) + b"x"),
    "a drop for a reason that there is not": results((0, 1, 0, 0), struct.pack("=qB", 0, 3)),
    "a drop below 0": results((0, 1, 0, 0), struct.pack("=qB", -1, 0)),
    "a skipped number below 0": results((0, 0, 1, 0), struct.pack("=q", -1)),
    "more drops than a message has": results((0, 1025, 0, 0), bytes(9 * 1025)),
    "more skipped than a message has": results((0, 0, 1025, 0), bytes(8 * 1025)),
    "drops that are cut off": results((0, 2, 0, 0), bytes(9)),
    "endless damage": results((0, 0, 0, 2**32 - 1)),
    "a stage without a time": results(stages=stage(1, math.nan)),
    "a stage that took for ever": results(stages=stage(1, math.inf)),
    "a stage that took less than nothing": results(stages=stage(1, -0.1)),
    "a stage of no frame that took time": results(stages=stage(0, 0.1)),
    "a stage of endless frames": results(stages=stage(2**32 - 1, 0.1)),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_an_error_with_a_reason(ends: tuple[Channel, Channel], content: bytes) -> None:
    sending = threading.Thread(target=ends[0].send, args=(struct.pack("=I", len(content)) + content,))
    sending.start()

    with pytest.raises(SegtritonError):
        ends[1].receive()
    sending.join()


def test_what_is_changed_to_be_unreadable_can_be_read_as_it_is(ends: tuple[Channel, Channel]) -> None:
    for content in (packets(1, ROW, b"x"), results((1, 0, 0, 0), ROW + b"x"), results(stages=stage(2, 0.5))):
        ends[0].send(struct.pack("=I", len(content)) + content)
        assert ends[1].receive().session_id == "session"


def test_a_message_that_is_too_long_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("=I", 1001))

        with pytest.raises(SegtritonError, match="more than 1000 bytes"):
            Channel(ours, max_bytes=1000).receive()
