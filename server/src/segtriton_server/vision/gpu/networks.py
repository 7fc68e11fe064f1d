"""The networks for GPUs, by name. A new one is a module of `vision.networks` with a `NETWORK`, named here."""

from __future__ import annotations

import importlib

import torch

from segtriton_server.device.context import open_device
from segtriton_server.settings import Settings
from segtriton_server.vision.errors import BackendError, UnknownNetworkError
from segtriton_server.vision.gpu import operators
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels
from segtriton_server.vision.gpu.runner import ClassMasks, GraphRunner, Runner
from segtriton_server.vision.gpu.segmenter import GpuSegmenter
from segtriton_server.vision.networks.fused import fuse
from segtriton_server.vision.networks.torchvision_network import SEEDED, TorchvisionNetwork

GPU_NETWORKS = ("fcn_resnet101", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large")
_SEEDED_WARNING = "The network's weights are random: masks mean nothing, only the speed is real."


def open_network(settings: Settings) -> tuple[PixelKernels, GpuSegmenter]:
    """Open the first device that the process sees, and load kernels and network there.

    Raises:
        NoDeviceError: there is no GPU.
        VisionError: see `create_gpu_segmenter`.
    """
    open_device()
    operators.limit_cache(settings.device_cache_bytes)
    kernels = PixelKernels(settings.compile_folder)
    return kernels, create_gpu_segmenter(settings, kernels)


def create_gpu_segmenter(settings: Settings, kernels: PixelKernels) -> GpuSegmenter:
    """Load the network of the settings and make it ready for batches.

    Raises:
        UnknownNetworkError: no GPU network of that name.
        NetworkFileError: its file is missing or holds other weights.
        BackendError: `inference_backend` is unknown, or cannot run here.
    """
    if settings.network not in GPU_NETWORKS:
        raise UnknownNetworkError(settings.network, GPU_NETWORKS)
    definition: TorchvisionNetwork = importlib.import_module(
        f"segtriton_server.vision.networks.{settings.network}"
    ).NETWORK
    stream = torch.cuda.Stream()
    return GpuSegmenter(
        definition.name,
        _create_runner(definition, settings, stream),
        kernels,
        stream,
        warnings=(_SEEDED_WARNING,) if settings.weights == SEEDED else (),
    )


def _create_runner(definition: TorchvisionNetwork, settings: Settings, stream: torch.cuda.Stream) -> Runner:
    input_hw = settings.network_height, settings.network_width
    network = definition.load(settings.networks, settings.weights)
    if settings.inference_backend == "pytorch":
        return GraphRunner(ClassMasks(fuse(network)), input_hw, settings.batch_size, stream)
    if settings.inference_backend == "tensorrt":
        # Imported here: nobody else needs TensorRT's packages.
        from segtriton_server.vision.gpu.tensorrt_runner import TensorRtRunner

        return TensorRtRunner(network, definition.name, input_hw, settings.batch_size, stream, settings.compile_folder)
    raise BackendError(f"unknown inference_backend {settings.inference_backend!r}; known: pytorch, tensorrt")
