"""Raw RGB frames to composites, batch by batch: what the non-streamed service runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.settings import Settings
from segtriton_server.vision.compositor import Compositor, create_compositor
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.networks import create_segmenter
from segtriton_server.vision.segmenter import ClassIds, Segmenter

_MAX_COMPOSITORS = 8
Frames = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FrameJob:
    """Frames uint8 [n, h, w, 3] of one request, in the order in which they follow each other; and what to draw."""

    frames: Frames
    class_ids: ClassIds
    effect: EffectSpec


class FrameEngine(Protocol):
    """Draws the jobs of a batch; calls come from one thread."""

    segmenter: Segmenter

    def compose(self, jobs: Sequence[FrameJob]) -> list[Frames]:
        """The composites of each job, in the shape of its frames."""

    def close(self) -> None:
        """Release the network."""


class CpuFrameEngine:
    """Frame by frame; only the network sees several at once."""

    def __init__(self, segmenter: Segmenter) -> None:
        """Take the network, which `close` closes."""
        self.segmenter: Segmenter = segmenter
        self._compositors: dict[tuple[EffectSpec, tuple[int, int]], Compositor] = {}

    def compose(self, jobs: Sequence[FrameJob]) -> list[Frames]:
        """See `FrameEngine`."""
        return [self._compose(job) for job in jobs]

    def close(self) -> None:
        """See `FrameEngine`."""
        self.segmenter.close()

    def _compose(self, job: FrameJob) -> Frames:
        height, width = job.frames.shape[1:3]
        compositor = self._compositor(job.effect, (height, width))
        output = np.empty_like(job.frames)
        batch_size, state = self.segmenter.max_batch_size, self.segmenter.start()
        for start in range(0, len(job.frames), batch_size):
            pictures = [Picture((frame,)) for frame in job.frames[start : start + batch_size]]
            inputs = [self.segmenter.preprocess(picture) for picture in pictures]
            count = len(inputs)
            masks = self.segmenter.segment(inputs, [job.class_ids] * count, states=[state] * count)
            for picture, mask, out in zip(pictures, masks, output[start:], strict=False):
                compositor.compose(picture, mask, Picture((out,)))
        return output

    def _compositor(self, effect: EffectSpec, size_hw: tuple[int, int]) -> Compositor:
        key = (effect, size_hw)
        if key not in self._compositors:
            if len(self._compositors) >= _MAX_COMPOSITORS:
                self._compositors.pop(next(iter(self._compositors)))
            self._compositors[key] = create_compositor(effect, size_hw)
        return self._compositors[key]


def create_frame_engine(settings: Settings) -> FrameEngine:
    """The engine for `settings.accelerator`: "cpu" or "gpu"."""
    if settings.accelerator == "gpu":
        # Imported here, so that a server without a GPU needs none of a GPU's packages.
        from segtriton_server.vision.gpu.frame_engine import GpuFrameEngine

        return GpuFrameEngine(settings)
    segmenter = create_segmenter(settings.network, settings.networks, settings.network_threads, settings.batch_size)
    return CpuFrameEngine(segmenter)
