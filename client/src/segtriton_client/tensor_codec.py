"""Tensors to and from the protobuf messages of the inference protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
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


def encode_request(model: str, tensors: Tensors, parameters: Mapping[str, str | int | float]) -> Any:
    """Return the request that carries `tensors` and `parameters` to `model`."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, value in parameters.items():
        if isinstance(value, int):
            request.parameters[name].int64_param = value
        elif isinstance(value, float):
            request.parameters[name].double_param = value
        else:
            request.parameters[name].string_param = value
    for name, tensor in tensors.items():
        request.inputs.add(name=name, datatype=_DATA_TYPES[tensor.dtype], shape=tensor.shape)
        request.raw_input_contents.append(tensor.tobytes())
    return request


def decode_response(response: Any) -> Tensors:
    """Return the tensors of a response by name; they share its memory and are read-only."""
    if len(response.outputs) != len(response.raw_output_contents):
        raise IntegrityError("The response lacks the contents of a tensor.")
    pairs = zip(response.outputs, response.raw_output_contents, strict=True)
    return {output.name: _decode_tensor(output, raw) for output, raw in pairs}


def _decode_tensor(output: Any, raw: bytes) -> NDArray[np.generic]:
    dtype = _DTYPES.get(output.datatype)
    if dtype is None:
        raise IntegrityError(f"Tensor {output.name} has the unknown type {output.datatype}.")
    try:
        return np.frombuffer(raw, dtype).reshape(tuple(output.shape))
    except ValueError:
        raise IntegrityError(f"Tensor {output.name} has {len(raw)} bytes for shape {list(output.shape)}.") from None
