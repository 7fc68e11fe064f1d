"""The non-streamed service: raw RGB frames in, composites out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segtriton_protocol import IMAGE_EFFECT, ErrorCode, OutputSpec, SegtritonError
from segtriton_protocol.json_fields import JsonFields
from segtriton_server.process_memory import keep_freed_blocks
from segtriton_server.settings import Settings
from segtriton_server.vision.effects import effect_of
from segtriton_server.vision.frame_engine import CpuFrameEngine, FrameEngine, FrameJob, Frames, create_frame_engine
from segtriton_server.vision.networks import is_own_network
from segtriton_server.vision.segmenter import find_classes

_LOG = logging.getLogger(__name__)


class FrameSegmentation:
    """Segments batches of requests, each with frames of one size. Calls come from one thread."""

    def __init__(self, settings: Settings) -> None:
        """Load the network; raises the network's own errors."""
        keep_freed_blocks()
        self._settings = settings
        self._engine = _create_engine(settings)

    def segment(self, requests: Sequence[tuple[Frames, Mapping[str, Any]]]) -> list[Frames | SegtritonError]:
        """Return for each request its composites, or why there are none.

        Args:
            requests: RGB frames uint8 [n, h, w, 3], and the request's parameters: effect, class_name, strength,
                color_rgb ("r,g,b"), inverted (true), despill (true).

        Returns:
            Frames in the shape of the request's, or UNKNOWN_CLASS, INVALID_MESSAGE, LIMIT_EXCEEDED, INTERNAL.
        """
        answers: list[Frames | SegtritonError] = []
        jobs: list[FrameJob] = []
        for frames, parameters in requests:
            try:
                jobs.append(self._job(frames, parameters))
                answers.append(frames)
            except SegtritonError as error:
                answers.append(error)
        composites = iter(self._compose(jobs))
        return [answer if isinstance(answer, SegtritonError) else next(composites) for answer in answers]

    def _compose(self, jobs: Sequence[FrameJob]) -> Sequence[Frames | SegtritonError]:
        try:
            return self._engine.compose(jobs)
        except Exception as error:  # noqa: BLE001 - Triton's requests are told, and the model lives on
            if len(jobs) > 1:  # the frames of one must not cost the others theirs
                return [answer for job in jobs for answer in self._compose([job])]
            _LOG.exception("frames of a request failed")
            return [SegtritonError(ErrorCode.INTERNAL, f"The frames failed with {type(error).__name__}.")]

    def close(self) -> None:
        """Release the network."""
        self._engine.close()

    def _job(self, frames: Frames, parameters: Mapping[str, Any]) -> FrameJob:
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, "inputrgb must be UINT8 [n, height, width, 3].")
        if not frames.size:
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, f"inputrgb has no pixels: {list(frames.shape)}.")
        height, width = frames.shape[1:3]
        if height * width > self._settings.max_pixels:
            raise SegtritonError(
                ErrorCode.LIMIT_EXCEEDED, f"{width}x{height} is more than {self._settings.max_pixels} pixels."
            )
        spec = _output_spec(parameters)
        _, class_ids = find_classes(self._engine.segmenter, spec, self._settings.visualization_class_name)
        return FrameJob(frames, class_ids, effect_of(spec))


def _create_engine(settings: Settings) -> FrameEngine:
    """The engine, with a network that a user brought in a process of its own: Triton's process holds all clients'."""
    if settings.accelerator == "cpu" and not is_own_network(settings.network):
        # Imported here, so that who serves a network of this package loads no reader of cards.
        from segtriton_server.workers.confined_segmenter import ConfinedSegmenter

        return CpuFrameEngine(ConfinedSegmenter(settings))
    return create_frame_engine(settings)


def _output_spec(parameters: Mapping[str, Any]) -> OutputSpec:
    wire = {key: parameters[key] for key in ("effect", "class_name", "strength") if key in parameters}
    wire["matte"] = {"inverted": parameters.get("inverted", False)}
    wire["despill"] = parameters.get("despill", False)
    try:
        if "strength" in wire:
            wire["strength"] = float(wire["strength"])
        if "color_rgb" in parameters:
            wire["color_rgb"] = [int(level) for level in str(parameters["color_rgb"]).split(",")]
    except ValueError:
        raise SegtritonError(
            ErrorCode.INVALID_MESSAGE, "strength must be a number and color_rgb three integers: r,g,b."
        ) from None
    spec = OutputSpec.from_json(JsonFields(wire, "parameters"))
    if spec.effect == IMAGE_EFFECT:
        raise SegtritonError(ErrorCode.INVALID_MESSAGE, "Frames have no background: image needs a streamed session.")
    return spec
