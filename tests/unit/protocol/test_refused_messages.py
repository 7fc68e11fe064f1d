"""What a message must not hold is refused with a typed error that names it."""

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from segtriton_protocol import (
    MAX_BACKGROUND_BYTES,
    PROTOCOL_VERSION,
    Background,
    Credit,
    ErrorCode,
    Open,
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
from segtriton_protocol.json_fields import encode_json
from segtriton_protocol.packets import MAX_PACKETS, MAX_SEQ, MAX_TIME, NO_TIMESTAMP, PacketBlock, unpack_packets
from segtriton_protocol.tensors import PARAMETER_MESSAGE, PARAMETER_PROTOCOL, PARAMETER_SESSION


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
        (("video", "reorder_frames"), -1),
        (("video", "reorder_frames"), 17),
        (("video", "reorder_frames"), True),
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
        (("video", "hdr"), None),
        (("video", "hdr", "mastering_display"), [1] * 9),
        (("video", "hdr", "mastering_display"), [65536, *[1] * 9]),
        (("video", "hdr", "mastering_display"), [*[1] * 9, 2**31]),
        (("video", "hdr", "content_light"), [1]),
        (("video", "hdr", "content_light"), [1, 65536]),
        (("output", "effect"), "sepia"),
        (("output", "strength"), float("nan")),
        (("output", "strength"), 1.01),
        (("output", "color_rgb"), [1, 2]),
        (("output", "crf"), 52),
        (("mode",), "fast"),
        (("first_seq",), -1),
        (("first_seq",), 2**62),
        (("wanted_seq",), 2**63 - 1),
        (("answered_seqs",), [2**62]),
        (("answered_seqs",), [-1]),
        (("answered_seqs",), [True]),
        (("video", "frame_rate"), [2**31 - 1, 1]),
        (("video", "frame_rate"), [True, 1]),
        (("video", "color", "full_range"), 1),
        (("output", "deinterlace"), "yes"),
        (("output", "deinterlace"), None),
        (("output", "matte", "inverted"), "true"),
        (("output", "color_rgb"), [0, 0, 256]),
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
        (MAX_SEQ + 1, 1, 0, 0, 0, 0),
        (0, 1, MAX_TIME + 1, 0, 0, 0),
        (0, 1, 0, -MAX_TIME - 1, 0, 0),
        (0, 1, 0, 0, MAX_TIME + 1, 0),
    ],
)
def test_a_false_index_row_is_refused(row: tuple[int, ...]) -> None:
    with pytest.raises(SegtritonError) as caught:
        unpack_packets(np.array([row], np.int64), b"x")

    assert caught.value.code is ErrorCode.INVALID_PACKET


def test_end_numbers_one_more_than_the_greatest_packet() -> None:
    parameters = parameters_of("end", new_session_id())
    parse_request(parameters, {"MESSAGE": encode_json({"next_seq": MAX_SEQ + 1})})

    assert refusal_of(parameters, {"MESSAGE": encode_json({"next_seq": MAX_SEQ + 2})}) is ErrorCode.INVALID_MESSAGE


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


# ------------------------------------------------------------------ backgrounds

PICTURE = VideoFormat("h264", 64, 64, Fraction(1, 90_000))


def open_with_background(*packets: Packet, picture: VideoFormat = PICTURE) -> Open:
    background = Background(picture, PacketBlock.pack(packets))
    return Open(video=OPEN.video, output=OutputSpec(effect="image"), background=background)


def packet(seq: int = 0, pts: int | None = 0, num_bytes: int = 1) -> Packet:
    return Packet(seq, pts, pts, 1, True, bytes(num_bytes))


def test_a_background_survives_the_wire() -> None:
    opening = open_with_background(packet(), packet(1, 5))

    assert parse_request(parameters_of("open"), opening.to_tensors()) == opening


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        (open_with_background(), ErrorCode.INVALID_PACKET),
        (open_with_background(packet(pts=None)), ErrorCode.INVALID_PACKET),
        (open_with_background(packet(num_bytes=0)), ErrorCode.INVALID_PACKET),
        (open_with_background(*map(packet, range(MAX_PACKETS + 1))), ErrorCode.INVALID_PACKET),
        (open_with_background(packet(num_bytes=MAX_BACKGROUND_BYTES + 1)), ErrorCode.LIMIT_EXCEEDED),
        (
            open_with_background(packet(), picture=VideoFormat("h264", 66, 64, Fraction(1, 25))),
            ErrorCode.INVALID_MESSAGE,
        ),
        (
            open_with_background(packet(), picture=VideoFormat("h264", 64, 62, Fraction(1, 25))),
            ErrorCode.INVALID_MESSAGE,
        ),
    ],
)
def test_a_background_out_of_bounds_is_refused(opening: Open, code: ErrorCode) -> None:
    assert refusal_of(parameters_of("open"), opening.to_tensors()) is code


@pytest.mark.parametrize("missing", ["PACKET_INDEX", "PACKET_IN", "background"])
def test_an_image_without_its_background_is_refused(missing: str) -> None:
    tensors = open_with_background(packet()).to_tensors()
    if missing == "background":
        wire = json.loads(tensors["MESSAGE"].tobytes())
        del wire["background"]
        tensors["MESSAGE"] = encode_json(wire)
    else:
        del tensors[missing]

    assert refusal_of(parameters_of("open"), tensors) is ErrorCode.INVALID_MESSAGE


def test_a_background_of_another_effect_is_not_read() -> None:
    wire = json.loads(OPEN.to_tensors()["MESSAGE"].tobytes())
    tensors = {**open_with_background().to_tensors(), "MESSAGE": encode_json({**wire, "background": 7})}

    assert parse_request(parameters_of("open"), tensors) == OPEN


@pytest.mark.parametrize(
    "more", [["blur"], ["mask", "mask"], ["cutout"], ["mask", 7], "mask", [["mask"]], ["mask"] * 1000]
)
def test_effects_that_are_no_others_are_refused(more: object) -> None:
    assert refusal_of(parameters_of("open"), changed_open("output", "more_effects", value=more)) is (
        ErrorCode.INVALID_MESSAGE
    )


def test_bare_masks_have_no_effects_beside_them() -> None:
    opening = Open(video=OPEN.video, output=OutputSpec(encoder="mask", more_effects=("mask",)))
    assert refusal_of(parameters_of("open"), opening.to_tensors()) is ErrorCode.INVALID_MESSAGE


def test_an_image_among_several_effects_has_its_background() -> None:
    opening = Open(video=OPEN.video, output=OutputSpec(effect="blur", more_effects=("mask", "image")))
    assert refusal_of(parameters_of("open"), opening.to_tensors()) is ErrorCode.INVALID_MESSAGE
    background = open_with_background(packet()).background
    whole = Open(video=OPEN.video, output=opening.output, background=background)
    assert parse_request(parameters_of("open"), whole.to_tensors()) == whole
