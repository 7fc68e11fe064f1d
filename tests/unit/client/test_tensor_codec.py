"""Tensors on the wire, beside what protobuf makes of the same messages."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from segtriton_client.errors import IntegrityError
from segtriton_client.tensor_codec import decode_response, encode_request, parse_response, serialize_request

# Lengths of 0, 1, 2 and 3 bytes on the wire, and what is on both sides of each step.
SIZES = (0, 1, 127, 128, 16383, 16384, 70000)
PARAMETERS = {"effect": "blur", "inverted": True, "count": 3, "strength": 0.5}


def response(*arrays: np.ndarray) -> bytes:
    message = service_pb2.ModelInferResponse(model_name="selfie", model_version="1")
    for number, array in enumerate(arrays):
        message.outputs.add(name=f"output{number}", datatype="UINT8", shape=array.shape)
        message.raw_output_contents.append(array.tobytes())
    serialized: bytes = message.SerializeToString()
    return serialized


def levels(size: int) -> np.ndarray:
    return (np.arange(size) % 251).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_a_request_is_what_protobuf_writes(size: int) -> None:
    tensors = {"frames": levels(size).reshape(1, -1), "numbers": np.arange(3, dtype=np.int64)}
    request = encode_request("selfie", tensors, PARAMETERS)

    assert service_pb2.ModelInferRequest.FromString(serialize_request("selfie", tensors, PARAMETERS)) == request
    assert [len(content) for content in request.raw_input_contents] == [size, 24]


def test_a_view_that_skips_bytes_is_sent_as_it_looks() -> None:
    frames = levels(64).reshape(8, 8)[::2, 1:5]
    request = service_pb2.ModelInferRequest.FromString(serialize_request("selfie", {"frames": frames}, {}))

    assert request.raw_input_contents[0] == frames.tobytes()


def test_a_boolean_is_sent_as_one() -> None:
    request = service_pb2.ModelInferRequest.FromString(serialize_request("selfie", {}, {"inverted": True, "count": 1}))

    assert request.parameters["inverted"].WhichOneof("parameter_choice") == "bool_param"
    assert request.parameters["count"].WhichOneof("parameter_choice") == "int64_param"


@pytest.mark.parametrize("size", SIZES)
def test_a_response_is_what_protobuf_reads(size: int) -> None:
    message = response(levels(size), levels(5))
    parsed = parse_response(message)

    expected = decode_response(service_pb2.ModelInferResponse.FromString(message))
    assert list(parsed) == list(expected)
    assert all(np.array_equal(parsed[name], expected[name]) for name in expected)


def test_tensors_lie_in_the_message_itself() -> None:
    message = response(levels(1000))
    (tensor,) = parse_response(message).values()

    assert np.shares_memory(tensor, np.frombuffer(message, np.uint8))
    assert not tensor.flags.writeable


def test_fields_of_a_later_protocol_are_skipped() -> None:
    later = b"\xf8\x01\x05"  # field 31, a number
    (tensor,) = parse_response(later + response(levels(9))).values()

    assert np.array_equal(tensor, levels(9))


def test_a_response_that_is_cut_is_told() -> None:
    message = response(levels(300), levels(5))
    header = len(service_pb2.ModelInferResponse(model_name="selfie", model_version="1").SerializeToString())

    for end in range(header + 1, len(message)):
        with pytest.raises(IntegrityError):
            parse_response(message[:end])


@pytest.mark.parametrize(
    "message",
    [b"\xff" * 20, b"\x32" + b"\xff" * 9 + b"\x01", response(levels(3)) + b"\x32\x01\x00", b"\x32\x00", b"\x08"],
    ids=["no end of a number", "an endless length", "one content more", "contents of nothing", "a bare key"],
)
def test_garbage_is_told(message: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_response(message)
