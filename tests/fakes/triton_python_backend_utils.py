"""What Triton's Python backend gives to a model, as far as this project uses it.

Type checks of the models read their types here, since the real module exists inside Triton only; unit tests run the
models' code against it. Responses and metrics are kept where a test can look at them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import numpy as np
import numpy.typing as npt

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class ModelArguments(TypedDict):
    """What `TritonPythonModel.initialize` is given."""

    model_config: str
    model_instance_kind: str
    model_instance_name: str
    model_instance_device_id: str
    model_repository: str
    model_version: str
    model_name: str


class TritonModelException(Exception):
    """A failure inside the Python backend."""


class TritonError:
    """An error in place of a response."""

    UNKNOWN: ClassVar[int] = 0
    INTERNAL: ClassVar[int] = 1
    NOT_FOUND: ClassVar[int] = 2
    INVALID_ARG: ClassVar[int] = 3
    UNAVAILABLE: ClassVar[int] = 4
    UNSUPPORTED: ClassVar[int] = 5
    ALREADY_EXISTS: ClassVar[int] = 6
    CANCELLED: ClassVar[int] = 7

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message = message
        self._code = code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: npt.NDArray[Any]) -> None:
        self._name = name
        self._array = array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> npt.NDArray[Any]:
        return self._array

    def shape(self) -> Sequence[int]:
        return self._array.shape

    def is_cpu(self) -> bool:
        return True


class InferenceResponse:
    """Tensors, or an error, on the way to a client."""

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | None = None,
        parameters: Mapping[str, str | int | bool] | None = None,
    ) -> None:
        self._output_tensors = list(output_tensors)
        self._error = error
        self._parameters = dict(parameters or {})

    def output_tensors(self) -> list[Tensor]:
        return self._output_tensors

    def error(self) -> TritonError | None:
        return self._error

    def has_error(self) -> bool:
        return self._error is not None

    def parameters(self) -> str:
        return json.dumps(self._parameters)


class InferenceResponseSender:
    """The way back to a client of a decoupled model; keeps what is sent in `sent`, in order.

    Attributes:
        sent: Every response so far.
        is_final: Whether the sender was closed by the final flag.
        cancelled: Set by a test whose client goes away.
    """

    def __init__(self) -> None:
        self.sent: list[InferenceResponse] = []
        self.is_final = False
        self.cancelled = False

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        if self.is_final:
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        if response is not None:
            self.sent.append(response)
        self.is_final = bool(flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def is_cancelled(self) -> bool:
        return self.cancelled


class InferenceRequest:
    """What a client asked for.

    Attributes:
        response_sender: What `get_response_sender` gives, for a test to look at.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor] = (),
        request_id: str = "",
        parameters: Mapping[str, str | int | bool] | None = None,
        model_name: str = "",
    ) -> None:
        self._inputs = list(inputs)
        self._request_id = request_id
        self._parameters = dict(parameters or {})
        self._model_name = model_name
        self.response_sender = InferenceResponseSender()

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def request_id(self) -> str:
        return self._request_id

    def parameters(self) -> str:
        return json.dumps(self._parameters)

    def model_name(self) -> str:
        return self._model_name

    def is_cancelled(self) -> bool:
        return self.response_sender.is_cancelled()

    def get_response_sender(self) -> InferenceResponseSender:
        return self.response_sender


class Metric:
    """One time series; `value` sums counters, holds gauges, and `observations` holds what a histogram was given."""

    def __init__(self, labels: Mapping[str, str], buckets: Sequence[float] = ()) -> None:
        self.labels = dict(labels)
        self.buckets = list(buckets)
        self.observations: list[float] = []
        self._value = 0.0

    def increment(self, by: float) -> None:
        self._value += by

    def set(self, value: float) -> None:
        self._value = value

    def observe(self, value: float) -> None:
        self.observations.append(value)

    def value(self) -> float:
        return self._value


class MetricFamily:
    """A metric with a name; the series of it, one for each set of labels, are kept in `metrics`."""

    COUNTER: ClassVar[int] = 0
    GAUGE: ClassVar[int] = 1
    HISTOGRAM: ClassVar[int] = 2

    def __init__(self, name: str, description: str, kind: int) -> None:
        self.name = name
        self.description = description
        self.kind = kind
        self.metrics: list[Metric] = []

    def Metric(  # noqa: N802 (Triton's name)
        self, labels: Mapping[str, str] | None = None, buckets: Sequence[float] | None = None
    ) -> Metric:
        metric = Metric(labels or {}, buckets or ())
        self.metrics.append(metric)
        return metric


class Logger:
    """Triton's log; keeps each message with its level in `messages`."""

    messages: ClassVar[list[tuple[str, str]]] = []

    @classmethod
    def log_info(cls, message: str) -> None:
        cls.messages.append(("info", message))

    @classmethod
    def log_warn(cls, message: str) -> None:
        cls.messages.append(("warning", message))

    @classmethod
    def log_error(cls, message: str) -> None:
        cls.messages.append(("error", message))

    @classmethod
    def log_verbose(cls, message: str) -> None:
        cls.messages.append(("verbose", message))


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """The request's tensor of that name; optional inputs may be absent."""
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


def get_output_tensor_by_name(response: InferenceResponse, name: str) -> Tensor | None:
    """The response's tensor of that name."""
    return next((tensor for tensor in response.output_tensors() if tensor.name() == name), None)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The configuration of an output."""
    return next((output for output in model_config["output"] if output["name"] == name), None)


def triton_string_to_numpy(triton_type: str) -> type[np.generic]:
    """The NumPy type of a Triton type as configurations write it."""
    return {
        "TYPE_BOOL": np.bool_,
        "TYPE_UINT8": np.uint8,
        "TYPE_UINT64": np.uint64,
        "TYPE_INT32": np.int32,
        "TYPE_INT64": np.int64,
        "TYPE_FP32": np.float32,
    }[triton_type]
