"""Triton's adapter to the non-streamed service: frames in, composites out."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from segtriton_protocol import SegtritonError
from segtriton_protocol.tensors import INPUT_RGB, OUTPUT_RGB
from segtriton_server.adapters.model_settings import load_settings
from segtriton_server.adapters.requests import read_request
from segtriton_server.services.authorizer import Authorizer
from segtriton_server.services.frame_segmentation import FrameSegmentation
from segtriton_server.vision.frame_engine import Frames

Job = tuple[Frames, dict[str, Any]]


class TritonPythonModel:
    """One instance of the network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network."""
        settings = load_settings(args)
        self._authorizer = Authorizer(settings)
        self._service = FrameSegmentation(settings)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer all requests at once; their sizes and effects may differ."""
        admitted = [self._admit(request) for request in requests]
        jobs = [job for job in admitted if not isinstance(job, SegtritonError)]
        answers = iter(self._service.segment(jobs) if jobs else [])
        return [respond(job if isinstance(job, SegtritonError) else next(answers)) for job in admitted]

    def finalize(self) -> None:
        """Release the network."""
        self._service.close()

    def _admit(self, request: pb_utils.InferenceRequest) -> Job | SegtritonError:
        try:
            content = read_request(request)
            self._authorizer.check(content.parameters)
        except SegtritonError as error:
            return error
        frames: Any = content.tensors[INPUT_RGB.name]
        return frames, content.parameters


def respond(answer: Frames | SegtritonError) -> pb_utils.InferenceResponse:
    """The response with an answer."""
    if isinstance(answer, SegtritonError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG))
    return pb_utils.InferenceResponse([pb_utils.Tensor(OUTPUT_RGB.name, answer)])
