"""NVDEC, CV-CUDA, torch and the GPU's encoders; frames travel in groups, as a call costs more than a picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from segtriton_protocol import PLAIN_PIXEL_FORMAT, OutputSpec, VideoFormat
from segtriton_server.device import memory
from segtriton_server.device.pictures import ChosenPictures, DevicePictures, join_pictures
from segtriton_server.device.streams import StreamPool
from segtriton_server.encoders.encoder import EncoderSetup
from segtriton_server.encoders.gpu.gpu_ladder import choose_gpu_encoder
from segtriton_server.media.background import open_background
from segtriton_server.media.decoder import Decoder
from segtriton_server.media.gpu_decoders import open_gpu_decoder
from segtriton_server.media.nvdec_pool import NvdecPool
from segtriton_server.media.uploading_decoder import UploadingDecoder
from segtriton_server.settings import Settings
from segtriton_server.vision.effects import effect_of
from segtriton_server.vision.gpu.compositor import GpuCompositor
from segtriton_server.vision.gpu.matte import create_matte
from segtriton_server.vision.gpu.networks import open_network
from segtriton_server.vision.segmenter import Segmenter
from segtriton_server.workers.accelerator import KeptPictures, SessionOutput

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class GpuAccelerator:
    """See `Accelerator`; uses the first device that the process sees."""

    def __init__(self, settings: Settings) -> None:
        """Load the network and warm it up."""
        self.segmenter: Segmenter
        self._kernels, self.segmenter = open_network(settings)
        self.group_size = min(settings.group_size, settings.batch_size)
        self._settings = replace(settings, group_size=self.group_size)
        self._streams = StreamPool()
        self._decoders = NvdecPool(settings.spare_decoders)
        for warning in self.segmenter.warnings:
            _LOG.warning("%s: %s", self.segmenter.name, warning)

    def choose_format(self, video: VideoFormat, output: OutputSpec) -> str:
        """See `Accelerator`; kernels and decoders know no other."""
        return PLAIN_PIXEL_FORMAT

    def open_decoder(self, video: VideoFormat, pixel_format: str, *, low_delay: bool, deinterlace: bool) -> Decoder:
        """See `Accelerator`; NVDEC deinterlaces what is interlaced, whatever is asked for."""
        return open_gpu_decoder(video, self._decoders, self._streams, self._settings, low_delay=low_delay)

    def open_output(self, setup: EncoderSetup, beside: SessionOutput | None = None) -> SessionOutput:
        """See `Accelerator`; all parts of a session work on one stream, which orders drawing and coding."""
        stream = self._streams.lend() if beside is None else beside.stream
        encoder, reason = choose_gpu_encoder(setup, stream, self._kernels.jpeg_planes)
        if beside is None:
            self._streams.give_back_with(encoder, stream)
        compositor = GpuCompositor(effect_of(setup.output), setup.size_hw, self._kernels, stream)
        matte = create_matte(setup.output.matte, stream) if beside is None else None
        return SessionOutput(compositor=compositor, encoder=encoder, encoder_reason=reason, matte=matte, stream=stream)

    def open_background(self, video: VideoFormat, pixel_format: str) -> Decoder:
        """See `Accelerator`; a background is short, and need not be what NVDEC decodes."""
        decoder = open_background(video, pixel_format)
        return UploadingDecoder(decoder, self._streams, "a background", group_size=1)

    def keep_pictures(self, pictures: Sequence[DevicePictures]) -> KeptPictures:
        """See `Accelerator`."""
        kept = join_pictures(pictures)
        return lambda positions: ChosenPictures(kept, positions)

    def give_memory_back(self) -> None:
        """See `Accelerator`; idle decoders keep their surfaces."""
        torch.cuda.empty_cache()

    def with_memory(self, call: Callable[[], T]) -> T:
        """See `Accelerator`; another session's failure frees much, but only after it was told."""
        return memory.with_memory(call)

    def is_fatal(self, error: Exception) -> bool:
        """Whether CUDA's context is lost: every later call would fail, too."""
        return not self.is_out_of_memory(error) and "CUDA error" in str(error)

    def is_out_of_memory(self, error: Exception) -> bool:
        """See `Accelerator`."""
        return isinstance(error, MemoryError) or memory.lacks_memory(error)
