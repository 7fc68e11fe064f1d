"""A network on a GPU, from pictures to masks, batch by batch on one stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import interpolate

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.vision.errors import InvalidMaskError
from segtriton_server.vision.gpu import operators
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels
from segtriton_server.vision.gpu.runner import Runner
from segtriton_server.vision.gpu.session_runner import SessionRunner, SessionState
from segtriton_server.vision.networks.card import InputSpec
from segtriton_server.vision.networks.torchvision_network import MEAN_RGB, STD_RGB, VOC_CLASSES
from segtriton_server.vision.segmenter import ClassIds

# One batch runs while the next is prepared; with more, frames would wait on the device instead of filling batches.
_BATCHES_IN_FLIGHT = 2

# The mask's edges are drawn to the picture's at the network's size, 224x224, where it costs 6 us a picture on an H100;
# at 1080p the same filter costs 55 us with a smaller neighbourhood.
_EDGE_DIAMETER, _EDGE_COLOR, _EDGE_SPACE = 9, 20.0, 4.0


@dataclass(frozen=True, slots=True)
class NetworkTraits:
    """What a segmenter must know of its network.

    Attributes:
        classes: names of its classes; the position is the channel.
        default_class: the class of sessions that name none.
        licence: of the weights.
        scale: what red, green and blue of 0 to 255 are multiplied by.
        offset: what is added then.
        card_input: how a card wants pictures laid into the input; None fills all of it.
        follows_edges: whether its masks are drawn to the picture's edges. torchvision's networks see an eighth of their
            input and enlarge that; a network with a card gives the mask that it gives on a CPU.
    """

    classes: tuple[str, ...]
    default_class: str
    licence: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    card_input: InputSpec | None = None
    follows_edges: bool = False


TORCHVISION = NetworkTraits(
    classes=tuple(VOC_CLASSES),
    default_class="person",
    licence="BSD-3-Clause",
    scale=tuple(1 / (255 * deviation) for deviation in STD_RGB),
    offset=tuple(-mean / deviation for mean, deviation in zip(MEAN_RGB, STD_RGB, strict=True)),
    follows_edges=True,
)


class GpuSegmenter:
    """See `Segmenter`; an input is a group's `DevicePictures`, its masks are `DeviceMasks`."""

    is_better_mirrored: bool = False

    def __init__(
        self,
        name: str,
        runner: Runner,
        kernels: PixelKernels,
        stream: torch.cuda.Stream,
        *,
        warnings: tuple[str, ...] = (),
        traits: NetworkTraits = TORCHVISION,
    ) -> None:
        """Take a runner that works on the stream."""
        self.name = name
        self.classes = traits.classes
        self.default_class = traits.default_class
        self.licence = traits.licence
        self._traits = traits
        self.warnings = warnings
        self._runner = runner
        self._kernels = kernels
        self._stream = stream
        self.max_batch_size, *input_hw = runner.inputs.shape[:3]
        self.input_hw: tuple[int, int] = (input_hw[0], input_hw[1])
        self._guide = torch.empty((self.max_batch_size, *self.input_hw), dtype=torch.uint8, device="cuda")
        self._normal = torch.tensor([traits.scale, traits.offset], dtype=torch.float32, device="cuda")
        self._in_flight: deque[torch.cuda.Event] = deque()
        torch.cuda.synchronize()

    def start(self) -> SessionState | None:
        """See `Segmenter`."""
        if not isinstance(self._runner, SessionRunner):
            return None
        with torch.cuda.stream(self._stream), torch.inference_mode():
            return self._runner.start()

    def preprocess(self, pictures: DevicePictures, orientation: Orientation = UPRIGHT) -> DevicePictures:
        """Nothing: `segment` shrinks and turns pictures straight into the batch."""
        return pictures

    def segment(
        self,
        inputs: Sequence[DevicePictures],
        classes: Sequence[ClassIds],
        orientations: Sequence[Orientation] = (),
        states: Sequence[SessionState | None] = (),
    ) -> list[DeviceMasks]:
        """Masks of each group, which are ready later; waits while two batches are under way."""
        count = sum(map(len, inputs))
        if count > self.max_batch_size:
            raise InvalidMaskError(f"need at most {self.max_batch_size} pictures, got {count}")
        orientations = orientations or [UPRIGHT] * len(inputs)
        while len(self._in_flight) >= _BATCHES_IN_FLIGHT:
            self._in_flight.popleft().synchronize()
        with torch.cuda.stream(self._stream), torch.inference_mode():
            ends = self._prepare(inputs, classes, orientations)
            masks = self._run(list(map(len, inputs)), states)
            parts = [masks[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            whole = [self._cut_out(*part) for part in zip(parts, inputs, orientations, strict=True)]
            turned = [_to_stored(*part) for part in zip(whole, orientations, strict=True)]
            ready = record_event(self._stream)
        self._in_flight.append(ready)
        return [DeviceMasks(part, ready) for part in turned]

    def close(self) -> None:
        """Wait until the device has done what it was given."""
        self._stream.synchronize()

    def _prepare(
        self, inputs: Sequence[DevicePictures], classes: Sequence[ClassIds], orientations: Sequence[Orientation]
    ) -> list[int]:
        """Write the inputs; return where each group ends in the batch."""
        ends: list[int] = []
        start = 0
        for pictures, wanted, orientation in zip(inputs, classes, orientations, strict=True):
            end = start + len(pictures)
            pictures.wait(self._stream)
            network_input, guide = self._runner.inputs[start:end], self._guide[start:end]
            part = self._part(pictures, orientation)
            self._kernels.to_input(pictures, orientation, self._normal, network_input, guide, part)
            self._runner.weights[start:end] = _weights(wanted, len(self.classes))
            ends.append(end)
            start = end
        return ends

    def _run(self, lengths: Sequence[int], states: Sequence[SessionState | None]) -> torch.Tensor:
        """The masks of the groups prepared, in memory that the next run leaves alone."""
        if states and isinstance(self._runner, SessionRunner):
            masks = self._runner.run_sessions(lengths, states)
        else:
            masks = self._runner.run(sum(lengths))
        return self._follow_edges(masks) if self._traits.follows_edges else masks.clone()

    def _part(self, pictures: DevicePictures, orientation: Orientation) -> tuple[slice, slice] | None:
        """What of the input the pictures take, as they are seen; None for all of it."""
        spec = self._traits.card_input
        if spec is None or spec.resize == "stretch":
            return None
        return spec.content_slices(spec.content_hw(orientation.stored_hw(pictures.size_hw)))

    def _cut_out(self, masks: torch.Tensor, pictures: DevicePictures, orientation: Orientation) -> torch.Tensor:
        """Masks of the whole picture, of masks that have a border around it."""
        part = self._part(pictures, orientation)
        if part is None:
            return masks
        inside = masks[:, part[0], part[1]].unsqueeze(1).float()
        enlarged = interpolate(inside, self.input_hw, mode="bilinear")
        return enlarged.round().squeeze(1).to(torch.uint8)

    def _follow_edges(self, masks: torch.Tensor) -> torch.Tensor:
        refined = torch.empty_like(masks)
        guide = self._guide[: len(masks)].unsqueeze(3)
        operators.joint_bilateral(
            masks.unsqueeze(3), guide, refined.unsqueeze(3), _EDGE_DIAMETER, _EDGE_COLOR, _EDGE_SPACE
        )
        return refined


def _to_stored(masks: torch.Tensor, orientation: Orientation) -> torch.Tensor:
    """Turn masks uint8 [n, h, w] as their pictures are stored, as `Orientation.to_stored` does."""
    flipped_axes = [axis for axis, flips in ((1, orientation.flips_rows), (2, orientation.flips_columns)) if flips]
    turned = masks.flip(flipped_axes) if flipped_axes else masks
    return turned.transpose(1, 2).contiguous() if orientation.is_transposed else turned


@lru_cache(maxsize=64)
def _weights(wanted: ClassIds, num_classes: int) -> torch.Tensor:
    """Half [classes], 1 for each that is wanted; kept, as making one waits for the device."""
    weights = [float(number in wanted) for number in range(num_classes)]
    return torch.tensor(weights, dtype=torch.half, device="cuda")
