"""What the sample's tensors say, and what of them is refused."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from segtriton_protocol import ErrorCode, Framing, SegtritonError
from segtriton_server.services.sample_requests import read_sample_request


def tensors(**changes: Any) -> dict[str, Any]:
    """A first packet: 640x480, 25 fps, H.264, BT.709, full range."""
    first = {
        "PACKET_IN": np.frombuffer(b"packet", np.uint8),
        "META0": np.array([1, 640, 480, 25, 10, 3, 4, 1, 1], np.int32),
        "META1": np.array([1, 512, 256], np.int64),
        "META2": np.array([0, 5000, 512], np.uint64),
        "FIRST_PACKET": np.array([True]),
        "LAST_PACKET": np.array([False]),
    }
    return {name: tensor for name, tensor in {**first, **changes}.items() if tensor is not None}


def test_a_first_packet_opens_a_session() -> None:
    request = read_sample_request("video_1_0", tensors())

    assert request.video_id == "video_1"
    assert request.open is not None
    video = request.open.video
    assert (video.codec, video.width, video.height, video.framing) == ("h264", 640, 480, Framing.ANNEX_B)
    assert video.frame_rate == Fraction(25)
    assert (video.color.matrix, video.color.full_range) == (1, True)
    assert request.open.output.encoder == "h264"
    assert request.packet is not None
    packet = request.packet
    assert (packet.seq, packet.pts, packet.dts, packet.duration) == (0, 512, 256, 512)
    assert packet.is_keyframe
    assert packet.payload == b"packet"
    assert not request.is_last


def test_a_later_packet_opens_nothing() -> None:
    request = read_sample_request(
        "v_7", tensors(FIRST_PACKET=np.array([False]), META0=None, META1=np.array([0, -5, -6]))
    )

    assert request.open is None
    assert request.packet is not None
    assert (request.packet.seq, request.packet.pts, request.packet.is_keyframe) == (7, -5, False)


def test_times_that_ffmpeg_has_not_are_none() -> None:
    packet = read_sample_request(
        "v_7", tensors(META1=np.array([0, -(2**63), -6]), META2=np.array([0, 0, 2**64 - 1], np.uint64))
    ).packet

    assert packet is not None
    assert (packet.pts, packet.dts, packet.duration) == (None, -6, 0)


@pytest.mark.parametrize("payload", [None, np.zeros(0, np.uint8)])
def test_the_last_request_may_be_empty(payload: object) -> None:
    request = read_sample_request("v_8", tensors(PACKET_IN=payload, FIRST_PACKET=None, LAST_PACKET=np.array([True])))

    assert request.packet is None
    assert request.is_last


@pytest.mark.parametrize(
    "request_id", ["", "v", "v_", "_1", "v_x", "v_-1", "v_1.0", "v_" + 19 * "9", "v_" + 5000 * "1", "v_\u0663"]
)
def test_another_request_id_is_refused(request_id: str) -> None:
    with pytest.raises(SegtritonError, match="videoid_packetnumber") as caught:
        read_sample_request(request_id, tensors())

    assert caught.value.code is ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"META0": None}, ErrorCode.INVALID_MESSAGE),
        ({"META0": np.zeros(8, np.int32)}, ErrorCode.INVALID_MESSAGE),
        ({"META1": np.zeros(3, np.int32)}, ErrorCode.INVALID_MESSAGE),
        ({"META0": np.array([1, 640, 480, 25, 10, 3, 99, 1, 1], np.int32)}, ErrorCode.UNSUPPORTED_FORMAT),
        ({"META0": np.array([1, 640, 480, 2**31 - 1, 10, 3, 4, 1, 1], np.int32)}, ErrorCode.INVALID_MESSAGE),
        ({"META0": np.array([1, 640, 16385, 25, 10, 3, 4, 1, 1], np.int32)}, ErrorCode.UNSUPPORTED_FORMAT),
        ({"META1": np.array([1, 1 - 2**63, 0])}, ErrorCode.INVALID_PACKET),
        ({"META1": np.array([1, 0, 2**63 - 1])}, ErrorCode.INVALID_PACKET),
        ({"META0": np.array([1, 0, 480, 25, 10, 3, 4, 1, 1], np.int32)}, ErrorCode.UNSUPPORTED_FORMAT),
    ],
)
def test_false_tensors_are_refused(changes: dict[str, Any], code: ErrorCode) -> None:
    with pytest.raises(SegtritonError) as caught:
        read_sample_request("v_0", tensors(**changes))

    assert caught.value.code is code
