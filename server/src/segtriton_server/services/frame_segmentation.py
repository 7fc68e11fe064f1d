"""The non-streamed service: raw RGB frames in, composites out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import ErrorCode, OutputSpec, SegtritonError
from segtriton_protocol.json_fields import JsonFields
from segtriton_server.frames import Picture
from segtriton_server.observability.logs import configure_logging
from segtriton_server.settings import Settings
from segtriton_server.vision.compositor import Compositor, create_compositor
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.networks import create_segmenter
from segtriton_server.vision.segmenter import find_class_id

_MAX_COMPOSITORS = 8
Frames = NDArray[np.uint8]


class FrameSegmentation:
    """Segments batches of frames of one size. Calls come from one thread."""

    def __init__(self, settings: Settings) -> None:
        """Load the network; raises the network's own errors."""
        configure_logging(settings)
        self._settings = settings
        self._segmenter = create_segmenter(
            settings.network, settings.networks, settings.network_threads, settings.batch_size
        )
        self._compositors: dict[tuple[EffectSpec, tuple[int, int]], Compositor] = {}

    def segment(self, frames: Frames, parameters: Mapping[str, Any]) -> Frames:
        """Return the composites [n, h, w, 3] of frames [n, h, w, 3], RGB in uint8.

        Args:
            frames: one request's frames.
            parameters: the request's parameters: effect, class_name, strength, color_rgb ("r,g,b").

        Raises:
            SegtritonError: UNKNOWN_CLASS, INVALID_MESSAGE or LIMIT_EXCEEDED.
        """
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, "inputrgb must be UINT8 [n, height, width, 3].")
        height, width = frames.shape[1:3]
        if height * width > self._settings.max_pixels:
            raise SegtritonError(
                ErrorCode.LIMIT_EXCEEDED, f"{width}x{height} is more than {self._settings.max_pixels} pixels."
            )
        spec = _output_spec(parameters)
        class_id = find_class_id(self._segmenter, spec.class_name)
        compositor = self._compositor(EffectSpec(spec.effect, spec.strength, spec.color_rgb), (height, width))  # type: ignore[arg-type]
        output = np.empty_like(frames)
        batch_size = self._segmenter.max_batch_size
        for start in range(0, len(frames), batch_size):
            pictures = [Picture((frame,)) for frame in frames[start : start + batch_size]]
            inputs = [self._segmenter.preprocess(picture) for picture in pictures]
            masks = self._segmenter.segment(inputs, [class_id] * len(inputs))
            for picture, mask, out in zip(pictures, masks, output[start:], strict=False):
                compositor.compose(picture, mask, Picture((out,)))
        return output

    def close(self) -> None:
        """Release the network."""
        self._segmenter.close()

    def _compositor(self, effect: EffectSpec, size_hw: tuple[int, int]) -> Compositor:
        key = (effect, size_hw)
        if key not in self._compositors:
            if len(self._compositors) >= _MAX_COMPOSITORS:
                self._compositors.pop(next(iter(self._compositors)))
            self._compositors[key] = create_compositor(effect, size_hw)
        return self._compositors[key]


def _output_spec(parameters: Mapping[str, Any]) -> OutputSpec:
    wire = {key: parameters[key] for key in ("effect", "class_name", "strength") if key in parameters}
    try:
        if "strength" in wire:
            wire["strength"] = float(wire["strength"])
        if "color_rgb" in parameters:
            wire["color_rgb"] = [int(level) for level in str(parameters["color_rgb"]).split(",")]
    except ValueError:
        raise SegtritonError(
            ErrorCode.INVALID_MESSAGE, "strength must be a number and color_rgb three integers: r,g,b."
        ) from None
    return OutputSpec.from_json(JsonFields(wire, "parameters"))
