"""Tensors to and from the protobuf messages of the inference protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import DTypeLike, NDArray
from tritonclient.grpc import service_pb2

from segtriton_client.errors import IntegrityError
from segtriton_protocol.tensors import Tensors

_DTYPES: dict[str, DTypeLike] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_DATA_TYPES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}


_MAX_VARINT_BYTES = 10
_WIRE_TYPE, _LENGTH_DELIMITED = 7, 2
_RAW_INPUT, _RAW_OUTPUT = (
    message.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED
    for message, field in (
        (service_pb2.ModelInferRequest, "raw_input_contents"),
        (service_pb2.ModelInferResponse, "raw_output_contents"),
    )
)


def encode_request(model: str, tensors: Tensors, parameters: Mapping[str, str | int | float]) -> Any:
    """Return the request that carries `tensors` and `parameters` to `model`."""
    request = _describe_request(model, tensors, parameters)
    request.raw_input_contents.extend(tensor.tobytes() for tensor in tensors.values())
    return request


def serialize_request(model: str, tensors: Tensors, parameters: Mapping[str, str | int | float]) -> bytes:
    """Return the bytes of `encode_request`'s message; each tensor is copied once, where protobuf copies it thrice."""
    parts: list[Any] = [_describe_request(model, tensors, parameters).SerializeToString()]
    for tensor in tensors.values():
        parts += bytes([_RAW_INPUT]), _encode_varint(tensor.nbytes), np.ascontiguousarray(tensor)
    return b"".join(parts)


def parse_response(message: bytes) -> Tensors:
    """Return the tensors of a serialized response by name; they share the message's memory and are read-only.

    Raises:
        IntegrityError: the message cannot be read, or its tensors do not fit what it says of them.
    """
    contents: list[memoryview] = []
    rest = bytearray()
    view, start = memoryview(message), 0
    try:
        while start < len(view):
            key, length_start = _decode_varint(view, start)
            if key & _WIRE_TYPE != _LENGTH_DELIMITED:  # no field that this client knows; protobuf skips it
                return decode_response(service_pb2.ModelInferResponse.FromString(message))
            length, value_start = _decode_varint(view, length_start)
            end = value_start + length
            if key != _RAW_OUTPUT:
                rest += view[start:end]
            elif end <= len(view):
                contents.append(view[value_start:end])
            else:
                raise IntegrityError("The response is cut short.")
            start = end
        outputs = service_pb2.ModelInferResponse.FromString(bytes(rest)).outputs
    except (IndexError, DecodeError):
        raise IntegrityError("The response cannot be read.") from None
    return _decode_tensors(outputs, contents)


def _describe_request(model: str, tensors: Tensors, parameters: Mapping[str, str | int | float]) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, value in parameters.items():
        if isinstance(value, bool):
            request.parameters[name].bool_param = value
        elif isinstance(value, int):
            request.parameters[name].int64_param = value
        elif isinstance(value, float):
            request.parameters[name].double_param = value
        else:
            request.parameters[name].string_param = value
    for name, tensor in tensors.items():
        request.inputs.add(name=name, datatype=_DATA_TYPES[tensor.dtype], shape=tensor.shape)
    return request


def decode_response(response: Any) -> Tensors:
    """Return the tensors of a response by name; they share its memory and are read-only."""
    return _decode_tensors(response.outputs, response.raw_output_contents)


def _decode_tensors(outputs: Sequence[Any], contents: Sequence[bytes | memoryview]) -> Tensors:
    if len(outputs) != len(contents):
        raise IntegrityError("The response lacks the contents of a tensor.")
    return {output.name: _decode_tensor(output, raw) for output, raw in zip(outputs, contents, strict=True)}


def _decode_tensor(output: Any, raw: bytes | memoryview) -> NDArray[np.generic]:
    dtype = _DTYPES.get(output.datatype)
    if dtype is None:
        raise IntegrityError(f"Tensor {output.name} has the unknown type {output.datatype}.")
    try:
        return np.frombuffer(raw, dtype).reshape(tuple(output.shape))
    except ValueError:
        raise IntegrityError(f"Tensor {output.name} has {len(raw)} bytes for shape {list(output.shape)}.") from None


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _decode_varint(message: memoryview, start: int) -> tuple[int, int]:
    """Return the number at `start` and where it ends; raises IndexError if the message ends before."""
    value = shift = 0
    for position in range(start, start + _MAX_VARINT_BYTES):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position + 1
    raise IndexError
