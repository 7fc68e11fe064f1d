"""The networks for GPUs: torchvision's by name, the selfie networks, and the folders with a card.

A new one of torchvision's is a module of `vision.networks` with a `NETWORK`, named here.
"""

from __future__ import annotations

import importlib

import torch

from segtriton_server.device.context import open_device
from segtriton_server.settings import Settings
from segtriton_server.vision.errors import BackendError, UnknownNetworkError
from segtriton_server.vision.gpu import operators
from segtriton_server.vision.gpu.card_masks import CardMasks, choose_precision
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels
from segtriton_server.vision.gpu.runner import ClassMasks, GraphRunner, Runner
from segtriton_server.vision.gpu.segmenter import GpuSegmenter, NetworkTraits
from segtriton_server.vision.gpu.session_runner import SessionRunner
from segtriton_server.vision.networks import CARD_NAME, known_networks
from segtriton_server.vision.networks.card import NetworkCard
from segtriton_server.vision.networks.card_reader import read_card
from segtriton_server.vision.networks.fused import fuse
from segtriton_server.vision.networks.selfie_card import selfie_card
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
        UnknownNetworkError: no GPU network of that name, and no folder with a card.
        NetworkFileError: its file is missing or holds other weights, or its card has mistakes.
        BackendError: `inference_backend` is unknown, or cannot run here or run this network.
    """
    if settings.network not in GPU_NETWORKS:
        return _create_by_card(_find_card(settings), settings, kernels)
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


def _find_card(settings: Settings) -> NetworkCard:
    if (card := selfie_card(settings.network, settings.networks)) is not None:
        return card
    folder = settings.networks / settings.network
    if not (folder / CARD_NAME).is_file():
        known = {*GPU_NETWORKS, *known_networks(settings.networks)}
        raise UnknownNetworkError(settings.network, sorted(known))
    return read_card(folder)


def _create_by_card(card: NetworkCard, settings: Settings, kernels: PixelKernels) -> GpuSegmenter:
    if settings.inference_backend != "pytorch":
        raise BackendError(
            f"inference_backend {settings.inference_backend} runs {', '.join(GPU_NETWORKS)} only; choose pytorch for "
            f"{card.name}"
        )
    stream = torch.cuda.Stream()
    return GpuSegmenter(
        card.name, create_card_runner(card, settings.batch_size, stream), kernels, stream, traits=traits_of(card)
    )


def create_card_runner(card: NetworkCard, max_batch_size: int, stream: torch.cuda.Stream) -> SessionRunner:
    """Load a network with a card, in the precision that its masks allow, and capture it for the card's batch sizes.

    Raises:
        NetworkFileError: its file is missing or another than its card says.
        BackendError: a GPU does not run it.
    """
    masks = CardMasks(card, card.read_file()).eval()
    sizes = [size for size in card.batch_sizes if size <= max_batch_size]
    graph = GraphRunner(
        masks,
        card.input.size_hw,
        max(sizes),
        stream,
        num_classes=len(card.labels),
        dtype=choose_precision(masks, card),
        sizes=sizes,
        state_shapes=[state.shape[1:] for state in card.states],
    )
    return SessionRunner(graph, max_batch_size, [state.start for state in card.states])


def traits_of(card: NetworkCard) -> NetworkTraits:
    """What a segmenter must know of a network with a card, which takes its colours in the card's order by itself."""
    spec = card.input
    in_rgb = slice(None, None, -1 if spec.color_order == "bgr" else 1)
    return NetworkTraits(card.labels, card.default_class, card.licence, spec.scale[in_rgb], spec.offset[in_rgb], spec)
