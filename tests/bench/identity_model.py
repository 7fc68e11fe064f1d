"""Gives frames back as they came: what remains is what Triton and its Python backend cost."""

from __future__ import annotations

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Reads each tensor as the models for frames do, and answers it."""

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer all requests."""
        return [_answer(request) for request in requests]


def _answer(request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
    (frames,) = request.inputs()
    return pb_utils.InferenceResponse([pb_utils.Tensor("outputrgb", frames.as_numpy())])
