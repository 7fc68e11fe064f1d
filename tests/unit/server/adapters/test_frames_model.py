"""The adapter to the model for frames: what is wrong with one request of a batch is answered to its client alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from triton_python_backend_utils import InferenceRequest, Tensor

from segtriton_server.adapters.frames_model import TritonPythonModel
from segtriton_server.services.authorizer import Authorizer
from segtriton_server.settings import Settings

FRAMES = np.zeros((1, 4, 4, 3), np.uint8)


class UnreadableRequest(InferenceRequest):
    """One with a header that is no UTF-8."""

    def parameters(self) -> str:
        return b"\xff\xfe".decode()


class Echo:
    """Gives the frames back."""

    def segment(self, jobs: Sequence[tuple[Any, Mapping[str, Any]]]) -> list[Any]:
        return [frames for frames, _ in jobs]


@pytest.fixture
def model() -> TritonPythonModel:
    model = TritonPythonModel()
    model._authorizer = Authorizer(Settings())
    model._service = Echo()  # type: ignore[assignment]
    return model


def test_a_request_that_cannot_be_read_costs_no_other(model: TritonPythonModel) -> None:
    good, bad = (kind([Tensor("inputrgb", FRAMES)]) for kind in (InferenceRequest, UnreadableRequest))
    first, refused, last = model.execute([good, bad, good])

    assert np.array_equal(first.output_tensors()[0].as_numpy(), FRAMES)
    assert np.array_equal(last.output_tensors()[0].as_numpy(), FRAMES)
    error = refused.error()
    assert error is not None
    assert error.message().startswith("INVALID_MESSAGE: The request cannot be read")
    assert ".py" not in error.message()
