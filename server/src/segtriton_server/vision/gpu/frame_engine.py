"""Raw RGB frames on a GPU: frames of several requests and sizes share the network's batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.device.pinned_download import PinnedDownload
from segtriton_server.device.pinned_upload import PinnedUpload
from segtriton_server.settings import Settings
from segtriton_server.vision.frame_engine import FrameJob, Frames
from segtriton_server.vision.gpu.compositor import GpuCompositor
from segtriton_server.vision.gpu.networks import open_network
from segtriton_server.vision.segmenter import Segmenter


@dataclass(frozen=True, slots=True)
class _Part:
    """Frames `start` and following of a job, on the device."""

    job: FrameJob
    output: Frames
    start: int
    pictures: DevicePictures


class GpuFrameEngine:
    """See `FrameEngine`; uses the first device that the process sees."""

    def __init__(self, settings: Settings) -> None:
        """Load the network; raises the network's own errors and NoDeviceError."""
        self.segmenter: Segmenter
        self._kernels, self.segmenter = open_network(settings)
        self._stream = torch.cuda.Stream()
        self._upload_memory = PinnedUpload()
        self._download_memory = PinnedDownload(self._stream)

    def compose(self, jobs: Sequence[FrameJob]) -> list[Frames]:
        """See `FrameEngine`."""
        outputs = [np.empty_like(job.frames) for job in jobs]
        with torch.cuda.stream(self._stream):
            for batch in self._batches(jobs, outputs):
                self._draw(batch)
        return outputs

    def close(self) -> None:
        """See `FrameEngine`."""
        self.segmenter.close()

    def _batches(self, jobs: Sequence[FrameJob], outputs: Sequence[Frames]) -> Iterator[list[_Part]]:
        """Cut the jobs so that each batch but the last is full."""
        batch: list[_Part] = []
        room = self.segmenter.max_batch_size
        for job, output in zip(jobs, outputs, strict=True):
            start = 0
            while start < len(job.frames):
                frames = job.frames[start : start + room]
                batch.append(_Part(job, output, start, self._upload(frames)))
                start += len(frames)
                room -= len(frames)
                if room == 0:
                    yield batch
                    batch, room = [], self.segmenter.max_batch_size
        if batch:
            yield batch

    def _upload(self, frames: Frames) -> DevicePictures:
        return DevicePictures((self._upload_memory.upload(frames),), ready=record_event())

    def _draw(self, batch: list[_Part]) -> None:
        masks = self.segmenter.segment([part.pictures for part in batch], [part.job.class_ids for part in batch])
        for part, mask in zip(batch, masks, strict=True):
            self._compose(part, mask)

    def _compose(self, part: _Part, masks: DeviceMasks) -> None:
        effect, pictures = part.job.effect, part.pictures
        drawn = DevicePictures((torch.empty_like(pictures.planes[0]),))
        GpuCompositor(effect, pictures.size_hw, self._kernels, self._stream).compose(pictures, masks, drawn)
        part.output[part.start : part.start + len(pictures)] = self._download_memory.fetch(drawn.planes[0])
