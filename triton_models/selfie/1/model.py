"""Triton's adapter to the non-streamed service: frames in, composites out."""

from __future__ import annotations

import json
import os

import triton_python_backend_utils as pb_utils

from segtriton_protocol import SegtritonError
from segtriton_protocol.tensors import INPUT_RGB, OUTPUT_RGB
from segtriton_server.services.frame_segmentation import FrameSegmentation
from segtriton_server.settings import Settings


class TritonPythonModel:
    """One instance of the network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        self._service = FrameSegmentation(Settings.load(parameters, os.environ))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request by itself: their sizes and effects may differ."""
        return [self._respond(request) for request in requests]

    def finalize(self) -> None:
        """Release the network."""
        self._service.close()

    def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            output = self._service.segment(inputs[INPUT_RGB.name], json.loads(request.parameters() or "{}"))
        except SegtritonError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
        return pb_utils.InferenceResponse([pb_utils.Tensor(OUTPUT_RGB.name, output)])
