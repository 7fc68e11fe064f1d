"""What the protocol forbids gets the right code, and the server goes on as if nothing had been."""

import hashlib
import queue
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from process_tree import wait_until
from raw_client import FAST, RawStream, decode, follow, read_clip, stream_clip

from segtriton_protocol import (
    Background,
    Cancel,
    End,
    Ended,
    ErrorCode,
    Failed,
    Framing,
    MatteSpec,
    Open,
    Output,
    OutputSpec,
    Packet,
    Packets,
    SegtritonError,
    VideoFormat,
    new_session_id,
)
from segtriton_protocol.formats import MAX_FRAME_RATE
from segtriton_protocol.packets import PacketBlock, pack_packets
from segtriton_protocol.tensors import PARAMETER_PROTOCOL
from segtriton_server.launch import TritonProcess

CLIP = read_clip("carphone_pristine.mp4").head(20)


@pytest.fixture
def stream(server: TritonProcess) -> Iterator[RawStream]:
    with RawStream(server.grpc_address) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _good_session_works_afterwards(server: TritonProcess) -> Iterator[None]:
    yield
    run = stream_clip(server.grpc_address, CLIP)
    assert run.ended is not None
    assert run.ended.frames_out == len(CLIP.packets)


def failure(stream: RawStream) -> SegtritonError:
    """The error that ends the session, whatever comes before it."""
    while True:
        answer = stream.receive()
        if isinstance(answer, Failed):
            return answer.error
        assert isinstance(answer, Output)


def refusal(call: Callable[[], object]) -> SegtritonError:
    with pytest.raises(SegtritonError) as caught:
        call()
    return caught.value


# ------------------------------------------------------------------ OPEN


@pytest.mark.parametrize("version", [0, 2, 999])
def test_another_protocol_version(stream: RawStream, version: int) -> None:
    request = Open(video=CLIP.format)
    stream.send_raw({**request.to_parameters(), PARAMETER_PROTOCOL: version}, request.to_tensors())

    assert failure(stream).code is ErrorCode.PROTOCOL_MISMATCH


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"output": OutputSpec(class_name="unicorn")}, ErrorCode.UNKNOWN_CLASS, "background, person"),
        ({"output": OutputSpec(encoder="divx")}, ErrorCode.UNKNOWN_ENCODER, "auto, h264, mjpeg, mask"),
        ({"output": OutputSpec(effect="sepia")}, ErrorCode.INVALID_MESSAGE, "blur, mask, overlay, color"),
        ({"network": "resnet9000"}, ErrorCode.UNKNOWN_NETWORK, "selfie"),
        ({"video": replace(CLIP.format, codec="cinepak")}, ErrorCode.UNSUPPORTED_FORMAT, "h264"),
        ({"video": replace(CLIP.format, width=16384, height=16384)}, ErrorCode.LIMIT_EXCEEDED, "16384x16384"),
        ({"video": replace(CLIP.format, width=16385)}, ErrorCode.INVALID_MESSAGE, "width"),
        ({"video": replace(CLIP.format, frame_rate=Fraction(2**31 - 1))}, ErrorCode.INVALID_MESSAGE, "frame_rate"),
        ({"output": replace(FAST, deinterlace="yes")}, ErrorCode.INVALID_MESSAGE, "deinterlace"),
        ({"output": replace(FAST, matte=MatteSpec(inverted="yes"))}, ErrorCode.INVALID_MESSAGE, "inverted"),
        ({"first_seq": 2**63 - 1}, ErrorCode.INVALID_MESSAGE, "first_seq"),
        ({"answered_seqs": (2**63,)}, ErrorCode.INVALID_MESSAGE, "answered_seqs"),
        ({"video": replace(CLIP.format, extradata=b"")}, ErrorCode.UNSUPPORTED_FORMAT, "extradata"),
    ],
)
def test_an_open_that_cannot_be_served(
    stream: RawStream, changes: dict[str, object], code: ErrorCode, words: str
) -> None:
    error = refusal(lambda: stream.open(CLIP, **{"output": FAST, **changes}))  # type: ignore[arg-type]

    assert error.code is code
    assert words in error.message
    assert not error.retryable


@pytest.mark.parametrize("encoder", ["h264", "mjpeg", "mask"])
@pytest.mark.parametrize("rate", [Fraction(MAX_FRAME_RATE), Fraction(1, 2**31 - 1)])
def test_any_rate_that_is_taken_can_be_coded(stream: RawStream, encoder: str, rate: Fraction) -> None:
    clip = replace(CLIP, format=replace(CLIP.format, frame_rate=rate))

    assert follow(stream, clip, stream.open(clip, replace(FAST, encoder=encoder))).pts == CLIP.pts


def test_a_rate_that_no_camera_has_does_not_slow_others(server: TritonProcess, stream: RawStream) -> None:
    fastest = replace(CLIP, format=replace(CLIP.format, frame_rate=Fraction(MAX_FRAME_RATE)))
    stream.open(fastest, mode="live")
    with RawStream(server.grpc_address) as neighbour:
        assert neighbour.open(CLIP, mode="live").credit.group_packets == 1


def test_a_picture_of_another_size_than_announced_is_scaled_and_that_is_said(stream: RawStream) -> None:
    liar = replace(CLIP, format=replace(CLIP.format, width=64, height=64))
    run = follow(stream, liar, stream.open(liar))

    assert run.pts == CLIP.pts
    assert {(frame.width, frame.height) for frame in decode(run)} == {(64, 64)}
    assert run.ended is not None
    assert "scaled to 64x64" in " ".join(run.ended.notes)


def test_a_doubled_open(server: TritonProcess, stream: RawStream) -> None:
    opened = stream.open(CLIP, open_key="once")
    with RawStream(server.grpc_address) as second:
        error = refusal(lambda: second.open(CLIP, open_key="once"))
    assert error.code is ErrorCode.DUPLICATE_OPEN

    run = follow(stream, CLIP, opened)
    assert run.pts == CLIP.pts


# ------------------------------------------------------------------ packets


def test_packets_before_open(stream: RawStream) -> None:
    session_id = new_session_id()
    stream.send(Packets(session_id, CLIP.packets))

    error = failure(stream)
    assert error.code is ErrorCode.UNKNOWN_SESSION
    assert error.session_id == session_id


def test_a_packet_of_no_length(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    empty = Packets(opened.session_id, (replace(CLIP.packets[0], payload=b""),))
    stream.send(empty)

    assert failure(stream).code is ErrorCode.INVALID_PACKET


def test_an_index_that_counts_more_than_there_is(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    message = Packets(opened.session_id, CLIP.packets[:1])
    index, payload = pack_packets(CLIP.packets[:1])
    stream.send_raw(message.to_parameters(), {**message.to_tensors(), "PACKET_INDEX": index, "PACKET_IN": payload[:-1]})

    assert failure(stream).code is ErrorCode.INVALID_PACKET


def test_a_first_packet_that_is_no_keyframe(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    stream.send(Packets(opened.session_id, CLIP.packets[1:2]))

    assert failure(stream).code is ErrorCode.NEED_KEYFRAME


def test_more_packets_than_credit(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    first = CLIP.packets[0]
    packets = tuple(replace(first, seq=seq) for seq in range(opened.credit.packets + 1))
    stream.send(Packets(opened.session_id, packets))

    error = failure(stream)
    assert error.code is ErrorCode.WINDOW_EXCEEDED
    assert error.session_id == opened.session_id


def test_a_number_far_away(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    stream.send(Packets(opened.session_id, (replace(CLIP.packets[0], seq=2**62),)))

    assert failure(stream).code is ErrorCode.INVALID_PACKET


def test_packets_sent_twice_are_answered_once(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    stream.send(Packets(opened.session_id, CLIP.packets[:10]))
    run = follow(stream, CLIP, opened)

    assert run.pts == CLIP.pts
    assert run.ended is not None
    assert (run.ended.frames_in, run.ended.frames_out) == (20, 20)


def garbage(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_nothing_but_garbage(server: TritonProcess, stream: RawStream) -> None:
    packets = tuple(replace(packet, payload=garbage(200 + packet.seq)) for packet in CLIP.packets)
    noise = replace(CLIP, packets=packets)

    assert refusal(lambda: follow(stream, noise, stream.open(noise))).code is ErrorCode.DECODE_FAILED


@pytest.mark.parametrize("keep", [0, 5, 40])
def test_damage_in_the_middle_ends_in_drops_that_add_up(stream: RawStream, keep: int) -> None:
    def damaged(packet: Packet) -> Packet:
        is_hit = packet.seq in (7, 8, 13)
        return replace(packet, payload=packet.payload[:keep] + garbage(30)) if is_hit else packet

    clip = replace(CLIP, packets=tuple(map(damaged, CLIP.packets)))
    run = follow(stream, clip, stream.open(clip))

    assert run.ended is not None
    assert run.ended.frames_in == 20
    assert run.ended.frames_out == len(run.packets) >= 10
    assert run.ended.frames_out + sum(run.ended.frames_dropped.values()) == 20
    assert sorted([*(packet.seq for packet in run.packets), *run.drops]) == list(range(20))


# ------------------------------------------------------------------ END


def test_an_end_without_packets(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    stream.send(End(opened.session_id, 0))

    answer = stream.receive()
    assert isinstance(answer, Ended)
    assert (answer.frames_in, answer.frames_out, answer.digest) == (0, 0, hashlib.sha256().hexdigest())


def test_a_second_end_changes_nothing(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    stream.send(Packets(opened.session_id, CLIP.packets))
    for _ in range(2):
        stream.send(End(opened.session_id, len(CLIP.packets)))
    answers = [stream.receive()]
    while not isinstance(answers[-1], Ended):
        answers.append(stream.receive())

    assert answers[-1].frames_out == len(CLIP.packets)
    with pytest.raises(queue.Empty):
        stream.receive(0.3)


def test_packets_after_the_end(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    stream.send(Packets(opened.session_id, CLIP.packets[:1]))
    stream.send(End(opened.session_id, 1))
    stream.send(Packets(opened.session_id, CLIP.packets[1:]))
    answer = stream.receive()
    while isinstance(answer, Output):
        answer = stream.receive()

    # END may be done before the packets come; then there is no such session any more.
    if isinstance(answer, Ended):
        answer = stream.receive()
    assert isinstance(answer, Failed)
    assert answer.error.code in (ErrorCode.INVALID_MESSAGE, ErrorCode.UNKNOWN_SESSION)


def test_a_cancelled_session_is_gone(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    stream.send(Cancel(opened.session_id))
    assert failure(stream).code is ErrorCode.CANCELLED

    stream.send(Packets(opened.session_id, CLIP.packets))
    assert failure(stream).code is ErrorCode.UNKNOWN_SESSION


# ------------------------------------------------------------------ slots and patience


def test_no_more_sessions_than_slots(small_server: TritonProcess) -> None:
    with RawStream(small_server.grpc_address) as first, RawStream(small_server.grpc_address) as second:
        opened = first.open(CLIP)
        second.open(CLIP)
        with RawStream(small_server.grpc_address) as third:
            error = refusal(lambda: third.open(CLIP))
            assert error.code is ErrorCode.RESOURCE_EXHAUSTED
            assert error.retryable
            assert error.retry_after_seconds is not None
            assert error.retry_after_seconds > 0

            first.send(Cancel(opened.session_id))
            assert failure(first).code is ErrorCode.CANCELLED
            assert follow(third, CLIP, third.open(CLIP)).pts == CLIP.pts


@pytest.mark.parametrize("closes", [False, True], ids=["silent", "half-closed without END"])
def test_a_session_that_says_nothing_is_ended(small_server: TritonProcess, closes: bool) -> None:
    with RawStream(small_server.grpc_address) as stream:
        stream.open(CLIP)
        if closes:
            stream.half_close()
        error = failure(stream)

    assert error.code is ErrorCode.IDLE_TIMEOUT
    assert error.retryable


def test_messages_without_packets_keep_no_slot(small_server: TritonProcess) -> None:
    with RawStream(small_server.grpc_address) as stream:
        opened = stream.open(CLIP)
        answer: object = None
        while not isinstance(answer, Failed):
            stream.send(Packets(opened.session_id, ()))
            with suppress(queue.Empty):
                answer = stream.receive(timeout=0.5)

    assert answer.error.code is ErrorCode.IDLE_TIMEOUT


def test_a_small_window_is_kept_to_and_suffices(small_server: TritonProcess) -> None:
    clip = read_clip("bikes.mp4").head(80)
    assert wait_until(lambda: stream_clip(small_server.grpc_address, clip).pts == clip.pts, 0)


def test_tensors_of_another_type_are_refused_by_the_model_or_by_triton(stream: RawStream) -> None:
    opened = stream.open(CLIP)
    message = Packets(opened.session_id, CLIP.packets[:1])
    stream.send_raw(message.to_parameters(), {"MESSAGE": np.zeros(0, np.uint8)})

    assert failure(stream).code is ErrorCode.INVALID_MESSAGE


# ------------------------------------------------------------------ backgrounds


def open_with_background(stream: RawStream, payloads: list[bytes], codec: str = "h264") -> None:
    """Open a session with such a background, and go on until it ends; raises its error."""
    packets = [Packet(seq, seq, seq, 1, True, payload) for seq, payload in enumerate(payloads)]
    video = VideoFormat(codec, CLIP.format.width, CLIP.format.height, Fraction(1, 25), FRAMING_OF[codec])
    background = Background(video, PacketBlock.pack(packets))
    follow(stream, CLIP, stream.open(CLIP, OutputSpec(effect="image", preset="ultrafast"), background=background))


FRAMING_OF = {"h264": Framing.ANNEX_B, "mjpeg": Framing.RAW, "png": Framing.RAW}


@pytest.mark.parametrize(
    ("payloads", "codec", "code"),
    [
        ([b"\0\0\0\1\x65" + random.Random(1).randbytes(4000)], "h264", ErrorCode.UNSUPPORTED_FORMAT),
        ([random.Random(2).randbytes(4000)], "mjpeg", ErrorCode.UNSUPPORTED_FORMAT),
        ([b"x"], "png", ErrorCode.UNSUPPORTED_FORMAT),
        ([b"x"] * 1024, "mjpeg", ErrorCode.UNSUPPORTED_FORMAT),
    ],
    ids=["garbage", "no JPEG", "another codec", "many"],
)
def test_a_background_that_is_none_ends_its_own_session(
    stream: RawStream, payloads: list[bytes], codec: str, code: ErrorCode
) -> None:
    with pytest.raises(SegtritonError) as caught:
        open_with_background(stream, payloads, codec)
    assert caught.value.code is code


def test_a_background_of_too_many_pictures_is_refused_before_any_is_decoded(stream: RawStream) -> None:
    large = replace(CLIP, format=replace(CLIP.format, width=1280, height=720))
    packets = [Packet(seq, seq, seq, 1, True, b"x") for seq in range(195)]
    video = VideoFormat("mjpeg", 1280, 720, Fraction(1, 25))
    background = Background(video, PacketBlock.pack(packets))
    with pytest.raises(SegtritonError, match="background's pictures may take 257 MiB") as caught:
        stream.open(large, OutputSpec(effect="image"), background=background)
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
