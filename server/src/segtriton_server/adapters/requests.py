"""What a request of Triton's holds, read so that one that cannot be read is its own client's trouble only."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import triton_python_backend_utils as pb_utils

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_protocol.tensors import Tensors

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestContent:
    """A request's id, its input tensors by name, and its parameters, among them the headers that Triton forwards."""

    request_id: str
    tensors: Tensors
    parameters: dict[str, Any]


def read_request(request: pb_utils.InferenceRequest) -> RequestContent:
    """Return what a request holds; raises INVALID_MESSAGE."""
    try:
        return RequestContent(
            request.request_id(),
            {tensor.name(): tensor.as_numpy() for tensor in request.inputs()},
            json.loads(request.parameters() or "{}"),
        )
    except Exception:  # noqa: BLE001 - nobody knows what Triton's bindings raise; a header that is no UTF-8 is one case
        _LOG.exception("a request could not be read")
        raise SegtritonError(
            ErrorCode.INVALID_MESSAGE, "The request cannot be read; its headers and parameters must be UTF-8."
        ) from None
