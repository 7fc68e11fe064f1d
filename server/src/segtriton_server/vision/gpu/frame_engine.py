"""Raw RGB frames on a GPU: frames of several requests and sizes share the network's batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.settings import Settings
from segtriton_server.vision.frame_engine import FrameJob, Frames
from segtriton_server.vision.gpu.compositor import GpuCompositor
from segtriton_server.vision.gpu.networks import open_network
from segtriton_server.vision.segmenter import Segmenter


@dataclass(frozen=True, slots=True)
class _Part:
    """Some frames of a job, on the device, and where their composites go: page-locked, uint8 [n, h, w, 3].

    `state` is what the network has kept of the frames before them.
    """

    job: FrameJob
    output: torch.Tensor
    pictures: DevicePictures
    state: Any


class GpuFrameEngine:
    """See `FrameEngine`; uses the first device that the process sees.

    The processor only copies frames into page-locked memory, and waits once, at the end. The device uploads and draws
    a batch meanwhile, and downloads it to where Triton reads the answer. torch keeps that memory for the next call.
    """

    def __init__(self, settings: Settings) -> None:
        """Load the network; raises the network's own errors and NoDeviceError."""
        self.segmenter: Segmenter
        self._kernels, self.segmenter = open_network(settings)
        self._stream = torch.cuda.Stream()

    def compose(self, jobs: Sequence[FrameJob]) -> list[Frames]:
        """See `FrameEngine`."""
        outputs = [_page_locked(job.frames) for job in jobs]
        with torch.cuda.stream(self._stream):
            # The masks lie on the network's stream, which would write over those that are dropped before they are read.
            masks = [self._draw(batch) for batch in self._batches(jobs, outputs)]
            record_event().synchronize()
        masks.clear()
        return [output.numpy() for output in outputs]

    def close(self) -> None:
        """See `FrameEngine`."""
        self.segmenter.close()

    def _batches(self, jobs: Sequence[FrameJob], outputs: Sequence[torch.Tensor]) -> Iterator[list[_Part]]:
        """Cut the jobs so that each batch but the last is full."""
        batch: list[_Part] = []
        room = self.segmenter.max_batch_size
        for job, output in zip(jobs, outputs, strict=True):
            start, state = 0, self.segmenter.start()
            while start < len(job.frames):
                frames = job.frames[start : start + room]
                batch.append(_Part(job, output[start : start + room], _upload(frames), state))
                start += len(frames)
                room -= len(frames)
                if room == 0:
                    yield batch
                    batch, room = [], self.segmenter.max_batch_size
        if batch:
            yield batch

    def _draw(self, batch: list[_Part]) -> list[DeviceMasks]:
        """Let the device draw a batch; return the masks, to be kept until it has."""
        masks: list[DeviceMasks] = self.segmenter.segment(
            [part.pictures for part in batch],
            [part.job.class_ids for part in batch],
            states=[part.state for part in batch],
        )
        for part, mask in zip(batch, masks, strict=True):
            self._compose(part, mask)
        return masks

    def _compose(self, part: _Part, masks: DeviceMasks) -> None:
        effect, pictures = part.job.effect, part.pictures
        drawn = DevicePictures((torch.empty_like(pictures.planes[0]),))
        GpuCompositor(effect, pictures.size_hw, self._kernels, self._stream).compose(pictures, masks, drawn)
        part.output.copy_(drawn.planes[0], non_blocking=True)


def _upload(frames: Frames) -> DevicePictures:
    """Let the current stream upload frames; torch keeps the page-locked memory until it has."""
    staged = _page_locked(frames)
    np.copyto(staged.numpy(), frames)
    uploaded = torch.empty(frames.shape, dtype=torch.uint8, device="cuda").copy_(staged, non_blocking=True)
    return DevicePictures((uploaded,), ready=record_event())


def _page_locked(frames: Frames) -> torch.Tensor:
    """Host memory of the frames' shape that the device copies from and to by itself."""
    return torch.empty(frames.shape, dtype=torch.uint8, pin_memory=True)
