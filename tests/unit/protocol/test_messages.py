"""Every message survives the wire; whatever else arrives is refused with a typed error."""

import dataclasses
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtriton_protocol import (
    EFFECTS,
    ENCODERS,
    PIXEL_FORMATS,
    PROTOCOL_VERSION,
    X264_PRESETS,
    Cancel,
    ColorTags,
    Credit,
    Drop,
    DropReason,
    End,
    Ended,
    ErrorCode,
    Failed,
    Framing,
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
from segtriton_protocol.client_messages import MODES
from segtriton_protocol.json_fields import encode_json
from segtriton_protocol.packets import NO_TIMESTAMP, pack_packets, unpack_packets
from segtriton_protocol.tensors import PARAMETER_MESSAGE, PARAMETER_PROTOCOL, PARAMETER_SESSION

INT64 = st.integers(-(2**63) + 1, 2**63 - 1)
COUNT = st.integers(0, 2**63 - 1)
SESSION_ID = st.builds(new_session_id)
TEXT = st.text(max_size=40)
FRACTION = st.builds(Fraction, st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1))
CODE_POINT = st.integers(0, 255)

packets = st.lists(
    st.builds(
        Packet,
        seq=COUNT,
        pts=st.none() | INT64,
        dts=st.none() | INT64,
        duration=COUNT,
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
    frame_rate=st.none() | FRACTION,
    sample_aspect=st.none() | FRACTION,
    rotation=st.integers(-360, 360),
    color=st.builds(ColorTags, CODE_POINT, CODE_POINT, CODE_POINT, st.booleans()),
    pixel_format=st.text(max_size=32),
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
        first_seq=COUNT,
        wanted_seq=COUNT,
        open_key=TEXT,
    ),
    st.builds(Packets, SESSION_ID, packets, COUNT),
    st.builds(End, SESSION_ID, COUNT),
    st.builds(Cancel, SESSION_ID),
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
    st.builds(Ended, COUNT, COUNT, st.dictionaries(TEXT, COUNT), TEXT, st.dictionaries(TEXT, st.floats(0, 1e9))),
    st.builds(Migrate, st.floats(0, 1e9)),
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


def test_a_code_of_a_newer_server_keeps_its_name() -> None:
    error = SegtritonError.from_json({"code": "OUT_OF_COFFEE", "message": "Brew some."})

    assert error.code is ErrorCode.INTERNAL
    assert "OUT_OF_COFFEE" in error.message


def test_every_code_has_advice_of_one_sentence() -> None:
    for code in ErrorCode:
        assert code.advice.endswith(".")
        assert code.advice.count(". ") == 0


def test_an_older_clients_open_names_no_pixel_format() -> None:
    message = Open(video=VideoFormat("h264", 64, 64, Fraction(1, 25), pixel_format="yuv420p10le"))
    tensors = message.to_tensors()
    wire = json.loads(tensors["MESSAGE"].tobytes())
    assert wire["video"].pop("pixel_format") == "yuv420p10le"
    opened = parse_request(message.to_parameters(), {**tensors, "MESSAGE": encode_json(wire)})

    assert isinstance(opened, Open)
    assert opened.video.pixel_format == ""


def test_an_older_clients_open_asks_for_plain_pictures() -> None:
    message = Open(video=VideoFormat("h264", 64, 64, Fraction(1, 25)), output=OutputSpec())
    tensors = message.to_tensors()
    wire = json.loads(tensors["MESSAGE"].tobytes())
    assert wire["output"].pop("pixel_format") == "keep"
    opened = parse_request(message.to_parameters(), {**tensors, "MESSAGE": encode_json(wire)})

    assert isinstance(opened, Open)
    assert opened.output.pixel_format == "yuv420p"


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


# ------------------------------------------------------------------ refusals


def refusal_of(parameters: dict[str, Any], tensors: dict[str, Any]) -> ErrorCode:
    with pytest.raises(SegtritonError) as caught:
        parse_request(parameters, tensors)
    return caught.value.code


def parameters_of(kind: str, session_id: str = "") -> dict[str, Any]:
    return {PARAMETER_PROTOCOL: PROTOCOL_VERSION, PARAMETER_MESSAGE: kind, PARAMETER_SESSION: session_id}


ENDED = {"kind": "ended", "frames_in": 1, "frames_out": 1, "frames_dropped": {}, "digest": "", "stages": {}}
OPEN = Open(video=VideoFormat("h264", 64, 64, Fraction(1, 25)), output=OutputSpec())


def changed_open(*path: str, value: object) -> dict[str, Any]:
    """OPEN with one field of its JSON replaced."""
    wire = json.loads(OPEN.to_tensors()["MESSAGE"].tobytes())
    inner = wire
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return {"MESSAGE": encode_json(wire)}


@pytest.mark.parametrize("version", [None, 0, 2, "1", "x" * 1000])
def test_another_version_is_refused(version: object) -> None:
    parameters = {**OPEN.to_parameters(), PARAMETER_PROTOCOL: version}

    assert refusal_of(parameters, OPEN.to_tensors()) is ErrorCode.PROTOCOL_MISMATCH


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("video",), None),
        (("video", "codec"), "x" * 33),
        (("video", "pixel_format"), "x" * 33),
        (("video", "pixel_format"), None),
        (("video", "width"), 0),
        (("video", "width"), 16385),
        (("video", "height"), 1.5),
        (("video", "height"), True),
        (("video", "time_base"), None),
        (("video", "time_base"), [1, 0]),
        (("video", "time_base"), [-1, 25]),
        (("video", "framing"), "avi"),
        (("video", "extradata"), "no base64!"),
        (("video", "color", "matrix"), 256),
        (("output", "effect"), "sepia"),
        (("output", "strength"), float("nan")),
        (("output", "strength"), 1.01),
        (("output", "color_rgb"), [1, 2]),
        (("output", "crf"), 52),
        (("mode",), "fast"),
        (("first_seq",), -1),
        (("open_key",), "x" * 65),
    ],
)
def test_a_field_out_of_bounds_is_named(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(SegtritonError, match=path[-1]) as caught:
        parse_request(OPEN.to_parameters(), changed_open(*path, value=value))

    assert caught.value.code is ErrorCode.INVALID_MESSAGE


def test_an_unknown_encoder_gets_the_list() -> None:
    with pytest.raises(SegtritonError, match="auto, h264, mjpeg, mask") as caught:
        parse_request(OPEN.to_parameters(), changed_open("output", "encoder", value="divx"))

    assert caught.value.code is ErrorCode.UNKNOWN_ENCODER


def test_an_open_with_a_session_is_a_duplicate() -> None:
    assert refusal_of(parameters_of("open", new_session_id()), OPEN.to_tensors()) is ErrorCode.DUPLICATE_OPEN


@pytest.mark.parametrize("session_id", ["", "x", "A" * 32, "0" * 31, "0" * 32 + "\n"])
def test_other_messages_need_a_session_id(session_id: str) -> None:
    assert refusal_of(parameters_of("cancel", session_id), {}) is ErrorCode.UNKNOWN_SESSION


def test_an_unknown_kind_is_refused() -> None:
    assert refusal_of(parameters_of("hello"), {}) is ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("missing", ["MESSAGE", "PACKET_INDEX", "PACKET_IN"])
def test_a_missing_tensor_is_named(missing: str) -> None:
    message = Packets(new_session_id(), (Packet(0, 0, 0, 1, True, b"x"),))
    tensors = {name: tensor for name, tensor in message.to_tensors().items() if name != missing}

    with pytest.raises(SegtritonError, match=missing) as caught:
        parse_request(message.to_parameters(), tensors)

    assert caught.value.code is ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("PACKET_INDEX", np.zeros((1, 5), np.int64)),
        ("PACKET_INDEX", np.zeros((1, 6), np.int32)),
        ("PACKET_IN", np.zeros((1, 1), np.uint8)),
        ("MESSAGE", np.zeros(2, np.int8)),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_refused(name: str, tensor: Any) -> None:
    message = Packets(new_session_id(), (Packet(0, 0, 0, 1, True, b"x"),))

    assert refusal_of(message.to_parameters() | {}, {**message.to_tensors(), name: tensor}) is ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize(
    "row",
    [
        (0, 0, 0, 0, 0, 0),  # empty
        (0, -1, 0, 0, 0, 0),
        (0, 2, 0, 0, 0, 0),  # more than the payload
        (-1, 1, 0, 0, 0, 0),
        (0, 1, 0, 0, -1, 0),
        (NO_TIMESTAMP, 1, 0, 0, 0, 0),
    ],
)
def test_a_false_index_row_is_refused(row: tuple[int, ...]) -> None:
    with pytest.raises(SegtritonError) as caught:
        unpack_packets(np.array([row], np.int64), b"x")

    assert caught.value.code is ErrorCode.INVALID_PACKET


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
    code = code_of(lambda: parse_request(parameters_of(kind, session_id), tensors))

    assert code in (None, ErrorCode.INVALID_MESSAGE, ErrorCode.INVALID_PACKET)


@given(st.data())
def test_any_json_in_any_field_of_a_request_is_read_or_refused(data: st.DataObject) -> None:
    message = data.draw(requests.filter(lambda message: message.kind != "cancel"))
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


@pytest.mark.parametrize(
    "drops",
    [[[float("inf"), "damaged"]], [[1, "tired"]], [[1]], [1], {"a": 1}, [["x", "damaged"]], [[None, None]], None],
)
def test_false_drop_records_are_refused(drops: object) -> None:
    tensors = Output((), (), Credit(1, 1)).to_tensors()
    wire = json.loads(tensors["MESSAGE"].tobytes())
    with pytest.raises(SegtritonError, match="drops"):
        parse_response({**tensors, "MESSAGE": encode_json({**wire, "drops": drops})})


def test_numbers_too_large_for_a_float_are_refused_or_left_out() -> None:
    with pytest.raises(SegtritonError, match="stages"):
        parse_response({"MESSAGE": encode_json({**ENDED, "stages": {"decode": 10**400}})})

    error = SegtritonError.from_json({"code": "WORKER_LOST", "message": "", "retry_after_seconds": 10**400})
    assert error.retry_after_seconds is None
