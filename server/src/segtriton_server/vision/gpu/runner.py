"""What runs a network on batches: torch in CUDA graphs, or an engine of TensorRT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from segtriton_server.vision.networks.torchvision_network import VOC_CLASSES


class Runner(Protocol):
    """A network on one device and stream.

    Attributes:
        inputs: half or float32 [max_batch_size, h, w, 3], to be written before `run`.
        weights: of the same type, [max_batch_size, classes]: 1 for each class that is wanted of an input.
    """

    inputs: Tensor
    weights: Tensor

    def run(self, count: int) -> Tensor:
        """Return the masks uint8 [count, h, w] of the first inputs, valid until the next run on this stream."""


class ClassMasks(nn.Module):
    """A network, and the probability of some of its classes for each input."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network of torchvision's."""
        super().__init__()
        self._network = network

    def forward(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Make masks uint8 [n, h, w] of inputs [n, 3, h, w] and classes' weights [n, classes]."""
        return class_masks(self._network(inputs)["out"], weights)


def class_masks(logits: Tensor, weights: Tensor) -> Tensor:
    """Masks uint8 [n, h, w], 255 where the classes with weight 1 are certain.

    Args:
        logits: half [n, classes, h, w].
        weights: half [n, classes], 0 or 1.
    """
    return to_masks(logits.softmax(dim=1), weights)


def to_masks(probabilities: Tensor, weights: Tensor) -> Tensor:
    """Masks uint8 [n, h, w] of probabilities [n, classes, h, w], as `class_masks` makes them."""
    wanted = (probabilities * weights[:, :, None, None]).sum(dim=1)
    # The classes' rounded probabilities may add up to a little more than 1.
    return (wanted * 255).round_().clamp_(0, 255).to(torch.uint8)


class GraphRunner:
    """A torch module, captured in CUDA graphs for a few batch sizes; other sizes take the next larger one.

    Measured on an H100, FCN-ResNet101: batches of 4 run at 3,257 pictures/s against 1,963 without graphs, single
    pictures at 1,209 against 111; batches of 32 are as fast either way.

    Attributes:
        states: for each tensor that the network keeps from frame to frame, what goes into the next run [n, ...].
    """

    def __init__(
        self,
        masks: nn.Module,
        input_hw: tuple[int, int],
        max_batch_size: int,
        stream: torch.cuda.Stream,
        *,
        num_classes: int = len(VOC_CLASSES),
        dtype: torch.dtype = torch.half,
        sizes: Sequence[int] = (),
        state_shapes: Sequence[Sequence[int]] = (),
    ) -> None:
        """Move the module to the device and capture it on the stream.

        Args:
            masks: makes masks of inputs [n, 3, h, w] and weights [n, classes], as `ClassMasks` does. With states it
                takes each of them, too, and returns the masks and each state as it is afterwards.
            input_hw: height and width of the network's input.
            max_batch_size: the most inputs of one run.
            stream: where all runs are queued.
            num_classes: how many classes it tells apart.
            dtype: what the module computes in.
            sizes: the batch sizes to capture, the largest `max_batch_size`; powers of two by default.
            state_shapes: the shape of each state of one session, without the batch's axis.
        """
        # The graphs read the weights where they lie: without this reference, that memory would go to others.
        self._masks = masks.to(device="cuda", dtype=dtype).eval()
        for weight in (*masks.parameters(), *masks.buffers()):
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self.inputs = torch.zeros((max_batch_size, *input_hw, 3), dtype=dtype, device="cuda")
        self.weights = torch.zeros((max_batch_size, num_classes), dtype=dtype, device="cuda")
        self.states = tuple(torch.zeros((max_batch_size, *shape), dtype=dtype, device="cuda") for shape in state_shapes)
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}
        pool = torch.cuda.graph_pool_handle()
        with torch.inference_mode():
            # The largest first: the smaller ones then fit into the memory that it has taken.
            for size in reversed(list(sizes) or batch_sizes(max_batch_size)):
                self._graphs[size] = self._capture(size, pool, stream)

    def run(self, count: int) -> Tensor:
        """See `Runner`."""
        return self.run_with_states(count)[0]

    def run_with_states(self, count: int) -> tuple[Tensor, ...]:
        """Return the masks and then each state as it is afterwards, all [count, ...], valid until the next run."""
        size = next(size for size in sorted(self._graphs) if size >= count)
        graph, made = self._graphs[size]
        graph.replay()
        return tuple(tensor[:count] for tensor in made)

    def _capture(
        self, size: int, pool: tuple[int, int], stream: torch.cuda.Stream
    ) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):  # cuDNN chooses its algorithms and takes its workspace, which a capture forbids
                self._call(size)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            made = self._call(size)
        return graph, made

    def _call(self, size: int) -> tuple[Tensor, ...]:
        inputs = self.inputs[:size].permute(0, 3, 1, 2)
        made = self._masks(inputs, self.weights[:size], *(state[:size] for state in self.states))
        return made if isinstance(made, tuple) else (made,)


def batch_sizes(max_batch_size: int) -> list[int]:
    """Powers of two up to the largest size, and that itself."""
    sizes = [1 << exponent for exponent in range(max_batch_size.bit_length()) if 1 << exponent < max_batch_size]
    return [*sizes, max_batch_size]
