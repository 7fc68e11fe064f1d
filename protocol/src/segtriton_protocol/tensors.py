"""The tensors of every model, as `config.pbtxt` declares them; a contract test compares both."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segtriton_protocol.errors import ErrorCode, SegtritonError

Tensors = dict[str, NDArray[np.generic]]
DataType = Literal["UINT8", "INT32", "INT64", "UINT64", "BOOL", "BYTES", "FP32"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "UINT64": np.dtype(np.uint64),
    "BOOL": np.dtype(np.bool_),
    "BYTES": np.dtype(np.object_),
    "FP32": np.dtype(np.float32),
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, type and shape (-1 = any) of one model input or output."""

    name: str
    data_type: DataType
    dims: tuple[int, ...]
    optional: bool = False

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The numpy type of the tensor's elements."""
        return _DTYPES[self.data_type]

    def check(self, array: NDArray[np.generic]) -> None:
        """Raise INVALID_MESSAGE unless `array` has this spec's type and shape."""
        if array.dtype != _DTYPES[self.data_type] or array.ndim != len(self.dims):
            raise self._refusal(array)
        for want, have in zip(self.dims, array.shape, strict=True):
            if want not in (-1, have):
                raise self._refusal(array)

    def _refusal(self, array: NDArray[np.generic]) -> SegtritonError:
        return SegtritonError(
            ErrorCode.INVALID_MESSAGE,
            f"Tensor {self.name} must be {self.data_type} {list(self.dims)}, not {array.dtype} {list(array.shape)}.",
        )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What one model of the repository takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    decoupled: bool
    max_batch_size: int


# Protocol v1 on the streaming models.
MESSAGE = TensorSpec("MESSAGE", "UINT8", (-1,), optional=True)
PACKET_INDEX = TensorSpec("PACKET_INDEX", "INT64", (-1, 6), optional=True)
PACKET_IN = TensorSpec("PACKET_IN", "UINT8", (-1,), optional=True)
PACKET_OUT = TensorSpec("PACKET_OUT", "UINT8", (-1,))

# The contract of the CV-CUDA Triton sample, kept beside it.
META0 = TensorSpec("META0", "INT32", (9,), optional=True)
META1 = TensorSpec("META1", "INT64", (3,), optional=True)
META2 = TensorSpec("META2", "UINT64", (3,), optional=True)
FIRST_PACKET = TensorSpec("FIRST_PACKET", "BOOL", (1,), optional=True)
LAST_PACKET = TensorSpec("LAST_PACKET", "BOOL", (1,), optional=True)
FRAME_SIZE = TensorSpec("FRAME_SIZE", "UINT64", (2,))
LAST_PACKET_OUT = TensorSpec("LAST_PACKET", "BOOL", (1,))
MESSAGE_OUT = TensorSpec("MESSAGE", "UINT8", (-1,))
PACKET_INDEX_OUT = TensorSpec("PACKET_INDEX", "INT64", (-1, 6))

STREAMING = ModelSpec(
    inputs=(PACKET_IN, META0, META1, META2, FIRST_PACKET, LAST_PACKET, MESSAGE, PACKET_INDEX),
    outputs=(PACKET_OUT, FRAME_SIZE, LAST_PACKET_OUT, MESSAGE_OUT, PACKET_INDEX_OUT),
    decoupled=True,
    max_batch_size=0,
)

# Raw frames; the leading batch dimension is Triton's.
INPUT_RGB = TensorSpec("inputrgb", "UINT8", (-1, -1, 3))
OUTPUT_RGB = TensorSpec("outputrgb", "UINT8", (-1, -1, 3))

FRAMES = ModelSpec(inputs=(INPUT_RGB,), outputs=(OUTPUT_RGB,), decoupled=False, max_batch_size=32)

MODELS: dict[str, ModelSpec] = {
    "selfie": FRAMES,
    "selfie_streaming": STREAMING,
    "fcn_resnet101": FRAMES,
    "fcn_resnet101_streaming": STREAMING,
}

# Request parameters (gRPC metadata of the same name arrives the same way).
PARAMETER_PROTOCOL = "segtriton_protocol"
PARAMETER_MESSAGE = "segtriton_message"
PARAMETER_SESSION = "segtriton_session"


def required_tensor(tensors: Tensors, spec: TensorSpec) -> Any:
    """Return the tensor of a spec; raises INVALID_MESSAGE if it is missing or of another type or shape."""
    tensor = tensors.get(spec.name)
    if tensor is None:
        raise SegtritonError(ErrorCode.INVALID_MESSAGE, f"The tensor {spec.name} is missing.")
    spec.check(tensor)
    return tensor
