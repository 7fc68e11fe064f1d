"""Every message survives the wire, and anything else is read or refused with a typed error."""

import dataclasses
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segtriton_protocol import (
    EFFECTS,
    ENCODERS,
    PIXEL_FORMATS,
    PROTOCOL_VERSION,
    X264_PRESETS,
    AnswerId,
    Cancel,
    ColorTags,
    Credit,
    Describe,
    Described,
    Drop,
    DropReason,
    End,
    Ended,
    ErrorCode,
    Failed,
    Framing,
    MatteSpec,
    Migrate,
    Open,
    Opened,
    Output,
    OutputSpec,
    Packet,
    Packets,
    SegtritonError,
    VideoFormat,
    new_session_id,
    parse_request,
    parse_response,
)
from segtriton_protocol.answer_ids import AnswerIds
from segtriton_protocol.client_messages import MODES, PackedPackets
from segtriton_protocol.formats import MAX_FRAME_RATE, MAX_REORDER_FRAMES
from segtriton_protocol.json_fields import encode_json
from segtriton_protocol.messages import parse_packed_request
from segtriton_protocol.packets import MAX_SEQ, MAX_TIME, PacketBlock, pack_packets, unpack_packets
from segtriton_protocol.server_messages import PackedOutput
from segtriton_protocol.tensors import PARAMETER_MESSAGE, PARAMETER_PROTOCOL, PARAMETER_SESSION

SEQ = st.integers(0, MAX_SEQ)
TIME = st.integers(-MAX_TIME, MAX_TIME)
COUNT = st.integers(0, 2**63 - 1)
SESSION_ID = st.builds(new_session_id)
TEXT = st.text(max_size=40)
FRACTION = st.builds(Fraction, st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
CODE_POINT = st.integers(0, 255)

packets = st.lists(
    st.builds(
        Packet,
        seq=SEQ,
        pts=st.none() | TIME,
        dts=st.none() | TIME,
        duration=st.integers(0, MAX_TIME),
        is_keyframe=st.booleans(),
        payload=st.binary(min_size=1, max_size=60),
        is_hidden=st.booleans(),
    ),
    max_size=6,
).map(tuple)
credits = st.builds(Credit, COUNT, COUNT, st.integers(1, 8))
video_formats = st.builds(
    VideoFormat,
    codec=st.text(max_size=32),
    width=st.integers(1, 16384),
    height=st.integers(1, 16384),
    time_base=FRACTION,
    framing=st.sampled_from(Framing),
    extradata=st.binary(max_size=80),
    frame_rate=st.none() | FRACTION.filter(lambda rate: rate <= MAX_FRAME_RATE),
    sample_aspect=st.none() | FRACTION,
    rotation=st.integers(-360, 360),
    color=st.builds(ColorTags, CODE_POINT, CODE_POINT, CODE_POINT, st.booleans()),
    pixel_format=st.text(max_size=32),
    display_matrix=st.just(()) | st.lists(st.integers(-(2**31), 2**31 - 1), min_size=9, max_size=9).map(tuple),
    reorder_frames=st.none() | st.integers(0, MAX_REORDER_FRAMES),
)
output_specs = st.builds(
    OutputSpec,
    effect=st.sampled_from(EFFECTS),
    class_name=TEXT,
    strength=st.floats(0, 1),
    color_rgb=st.tuples(CODE_POINT, CODE_POINT, CODE_POINT),
    encoder=st.sampled_from(ENCODERS),
    preset=st.sampled_from(X264_PRESETS),
    crf=st.integers(0, 51),
    quality=st.integers(1, 100),
    pixel_format=st.sampled_from(PIXEL_FORMATS),
)
requests = st.one_of(
    st.builds(
        Open,
        video=video_formats,
        output=output_specs,
        network=TEXT,
        mode=st.sampled_from(MODES),
        first_seq=SEQ,
        wanted_seq=SEQ,
        answered_seqs=st.lists(SEQ, max_size=4).map(tuple),
        open_key=TEXT,
    ),
    st.builds(Packets, SESSION_ID, packets, COUNT),
    st.builds(End, SESSION_ID, SEQ),
    st.builds(Cancel, SESSION_ID),
    st.builds(Describe),
)
errors = st.builds(
    SegtritonError,
    st.sampled_from(ErrorCode),
    TEXT,
    session_id=TEXT,
    seq=st.none() | COUNT,
    retry_after_seconds=st.none() | st.floats(0, 1e6),
)
responses = st.one_of(
    st.builds(
        Opened,
        session_id=SESSION_ID,
        network=TEXT,
        class_name=TEXT,
        classes=st.lists(TEXT).map(tuple),
        decoder=TEXT,
        encoder=TEXT,
        encoder_reason=TEXT,
        output_codec=TEXT,
        output_extradata=st.binary(max_size=80),
        output_width=st.integers(1, 16384),
        output_height=st.integers(1, 16384),
        credit=credits,
        server=TEXT,
        pod=TEXT,
        limits=st.dictionaries(TEXT, COUNT),
        warnings=st.lists(TEXT).map(tuple),
        output_pixel_format=TEXT,
    ),
    st.builds(
        Output, packets, st.lists(st.builds(Drop, COUNT, st.sampled_from(DropReason)), max_size=5).map(tuple), credits
    ),
    st.builds(
        Ended,
        COUNT,
        COUNT,
        st.dictionaries(TEXT, COUNT),
        TEXT,
        st.dictionaries(TEXT, st.floats(0, 1e9)),
        frames_without_class=st.none() | COUNT,
    ),
    st.builds(Migrate, st.floats(0, 1e9)),
    st.builds(Described, TEXT, st.lists(TEXT).map(tuple), TEXT, TEXT, st.lists(TEXT).map(tuple)),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


# ------------------------------------------------------------------ there and back


@given(requests)
def test_a_request_survives_the_wire(message: Any) -> None:
    assert parse_request(message.to_parameters(), message.to_tensors()) == message


@given(responses)
def test_a_response_survives_the_wire(message: Any) -> None:
    assert parse_response(message.to_tensors()) == message


@given(errors)
def test_an_error_survives_the_wire(error: SegtritonError) -> None:
    answer = parse_response(Failed(error).to_tensors())

    assert isinstance(answer, Failed)
    assert answer.error.to_json() == error.to_json()
    assert answer.error.retryable == error.code.retryable


@given(packets)
def test_packets_survive_the_index(sent: tuple[Packet, ...]) -> None:
    index, payload = pack_packets(sent)

    assert index.shape == (len(sent), 6)
    assert tuple(unpack_packets(index, payload.tobytes())) == sent


drop_records = st.lists(st.builds(Drop, SEQ, st.sampled_from(DropReason)), max_size=4).map(tuple)
answer_ids = st.none() | st.builds(AnswerId, SEQ, st.integers(0, 2**32 - 1))


@given(packets, drop_records, credits, answer_ids)
def test_an_output_that_is_passed_on_says_what_its_packets_and_their_json_say(
    sent: tuple[Packet, ...], drops: tuple[Drop, ...], credit: Credit, answer_id: AnswerId | None
) -> None:
    tensors = PackedOutput(PacketBlock.pack(sent), drops, credit).to_tensors(answer_id)

    assert parse_response(tensors) == Output(sent, drops, credit, answer_id=answer_id)
    body = {"kind": "output", "drops": [[drop.seq, drop.reason.value] for drop in drops], "credit": credit.to_json()}
    numbered = {} if answer_id is None else {"answer_id": list(answer_id)}
    assert json.loads(tensors["MESSAGE"].tobytes()) == {**body, **numbered}


@given(packets, SEQ, answer_ids)
def test_packets_that_are_passed_on_stay_as_they_came(
    sent: tuple[Packet, ...], received: int, acknowledged: AnswerId | None
) -> None:
    message = Packets(new_session_id(), sent, received, acknowledged)
    tensors = message.to_tensors()
    packed = parse_packed_request(message.to_parameters(), tensors)

    assert isinstance(packed, PackedPackets)
    assert (packed.session_id, packed.received, packed.acknowledged) == (message.session_id, received, acknowledged)
    assert packed.block.index == tensors["PACKET_INDEX"].tobytes()
    assert packed.block.payload == tensors["PACKET_IN"].tobytes()
    assert packed.block.unpack() == list(sent)
    assert packed.block.select(range(0, len(sent), 2)).unpack() == list(sent[::2])


def test_no_two_answers_have_the_same_mark() -> None:
    source, other = AnswerIds(), AnswerIds()
    taken = [source.take() for _ in range(200)]

    assert [answer_id.number for answer_id in taken] == list(range(200))
    assert all(0 <= answer_id.nonce < 2**32 for answer_id in taken)
    assert len({answer_id.nonce for answer_id in (*taken, *(other.take() for _ in range(200)))}) > 395


def test_a_code_of_a_newer_server_keeps_its_name() -> None:
    error = SegtritonError.from_json({"code": "OUT_OF_COFFEE", "message": "Brew some."})

    assert error.code is ErrorCode.INTERNAL
    assert "OUT_OF_COFFEE" in error.message


def test_every_code_has_advice_of_one_sentence() -> None:
    for code in ErrorCode:
        assert code.advice.endswith(".")
        assert code.advice.count(". ") == 0


def parsed_without(field: str, message: Open, group: str) -> tuple[Any, Open]:
    """What a part of OPEN says in a field, and the message as a client sends it that knows no such field."""
    tensors = message.to_tensors()
    wire = json.loads(tensors["MESSAGE"].tobytes())
    named = wire[group].pop(field)
    opened = parse_request(message.to_parameters(), {**tensors, "MESSAGE": encode_json(wire)})
    assert isinstance(opened, Open)
    return named, opened


def test_an_older_clients_open_names_no_pixel_format() -> None:
    message = Open(video=VideoFormat("h264", 64, 64, Fraction(1, 25), pixel_format="yuv420p10le"))
    named, opened = parsed_without("pixel_format", message, "video")

    assert (named, opened.video.pixel_format) == ("yuv420p10le", "")


def test_an_older_clients_open_knows_no_reorder_depth() -> None:
    message = Open(video=VideoFormat("h264", 64, 64, Fraction(1, 25), reorder_frames=2))
    named, opened = parsed_without("reorder_frames", message, "video")

    assert (named, opened.video.reorder_frames) == (2, None)


def test_an_older_clients_open_asks_for_plain_pictures() -> None:
    message = Open(video=VideoFormat("h264", 64, 64, Fraction(1, 25)), output=OutputSpec())
    named, opened = parsed_without("pixel_format", message, "output")

    assert (named, opened.output.pixel_format) == ("keep", "yuv420p")


def test_an_open_that_says_nothing_of_masks_takes_the_defaults() -> None:
    default = MatteSpec()
    for mode in ("file", "live"):
        message = Open(VideoFormat("h264", 4, 4, Fraction(1, 25)), mode=mode)
        wire = json.loads(message.to_tensors()["MESSAGE"].tobytes())
        for matte in ({}, {"feather": 0.25}):
            wire["output"]["matte"] = matte
            expected = dataclasses.replace(default, **matte)
            assert Open.from_tensors("", {"MESSAGE": encode_json(wire)}).output.matte == expected
        del wire["output"]["matte"]
        assert Open.from_tensors("", {"MESSAGE": encode_json(wire)}).output.matte == default


def test_an_older_servers_pictures_are_plain() -> None:
    answer = Opened(new_session_id(), "n", "c", (), "d", "e", "", "h264", b"", 1, 1, Credit(1, 1), "", "")
    wire = json.loads(dataclasses.replace(answer, output_pixel_format="yuv444p").to_tensors()["MESSAGE"].tobytes())
    assert wire.pop("output_pixel_format") == "yuv444p"
    opened = parse_response({"MESSAGE": encode_json(wire)})

    assert isinstance(opened, Opened)
    assert opened.output_pixel_format == "yuv420p"


def test_an_older_servers_answer_warns_of_nothing() -> None:
    answer = Opened(new_session_id(), "n", "c", (), "d", "e", "", "h264", b"", 1, 1, Credit(1, 1), "", "", {}, ("Oh!",))
    wire = json.loads(answer.to_tensors()["MESSAGE"].tobytes())
    assert wire.pop("warnings") == ["Oh!"]
    opened = parse_response({"MESSAGE": encode_json(wire)})

    assert isinstance(opened, Opened)
    assert opened.warnings == ()


# ------------------------------------------------------------------ whatever comes


def code_of(call: Callable[[], object]) -> ErrorCode | None:
    """How a call was refused, None if it was not; any other exception is the test's failure."""
    try:
        call()
    except SegtritonError as error:
        return error.code
    return None


@given(st.lists(st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 6), max_size=4), st.binary(max_size=40))
def test_any_index_is_read_or_refused(rows: list[tuple[int, ...]], payload: bytes) -> None:
    index = np.array(rows, np.int64).reshape(-1, 6)
    code = code_of(lambda: unpack_packets(index, payload))

    assert code in (None, ErrorCode.INVALID_PACKET)
    if code is None:
        assert b"".join(packet.payload for packet in unpack_packets(index, payload)) == payload


@given(st.sampled_from(["open", "packets", "end", "cancel", "else"]), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(kind: str, content: bytes) -> None:
    tensors = {
        "MESSAGE": np.frombuffer(content, np.uint8),
        "PACKET_INDEX": np.zeros((0, 6), np.int64),
        "PACKET_IN": np.frombuffer(content, np.uint8),
    }
    session_id = "" if kind == "open" else new_session_id()
    parameters = {PARAMETER_PROTOCOL: PROTOCOL_VERSION, PARAMETER_MESSAGE: kind, PARAMETER_SESSION: session_id}
    code = code_of(lambda: parse_request(parameters, tensors))

    assert code in (None, ErrorCode.INVALID_MESSAGE, ErrorCode.INVALID_PACKET)


@given(st.data())
def test_any_json_in_any_field_of_a_request_is_read_or_refused(data: st.DataObject) -> None:
    message = data.draw(requests.filter(lambda message: message.kind not in ("cancel", "describe")))
    tensors = message.to_tensors()
    wire = json.loads(tensors["MESSAGE"].tobytes())
    for group in (wire, *(value for value in wire.values() if isinstance(value, dict))):
        group[data.draw(st.sampled_from(sorted(group)))] = data.draw(JSON)
    code = code_of(lambda: parse_request(message.to_parameters(), {**tensors, "MESSAGE": encode_json(wire)}))

    assert code in (None, ErrorCode.INVALID_MESSAGE, ErrorCode.UNKNOWN_ENCODER)


@given(st.data())
def test_any_json_in_any_field_of_a_response_is_read_or_refused(data: st.DataObject) -> None:
    message = data.draw(responses | st.builds(Failed, errors))
    tensors = message.to_tensors()
    wire = json.loads(tensors["MESSAGE"].tobytes())
    wire[data.draw(st.sampled_from(sorted(wire)))] = data.draw(JSON)
    code = code_of(lambda: parse_response({**tensors, "MESSAGE": encode_json(wire)}))

    assert code in (None, ErrorCode.INVALID_MESSAGE)


def test_what_a_matte_leaves_open_depends_on_the_mode_and_the_network() -> None:
    left_open, asked = MatteSpec(), MatteSpec(edges=0.5, mirror=True)
    assert left_open.resolved(is_live=False, mirrors=True) == MatteSpec(edges=1.0, mirror=True)
    assert left_open.resolved(is_live=False, mirrors=False) == MatteSpec(edges=1.0, mirror=False)
    assert left_open.resolved(is_live=True, mirrors=True) == MatteSpec(edges=0.0, mirror=False)
    assert asked.resolved(is_live=True, mirrors=False) == asked
