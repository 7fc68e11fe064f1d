"""The networks in half precision, fused and in graphs, against torchvision's own in float32."""

import gc
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_clips import source_planes, source_rgb
from gpu_pictures import upload
from torch import Tensor, nn

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.device.pictures import DeviceMasks, DevicePictures
from segtriton_server.settings import Settings
from segtriton_server.vision.gpu.networks import GPU_NETWORKS, create_gpu_segmenter
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels
from segtriton_server.vision.gpu.runner import ClassMasks, GraphRunner
from segtriton_server.vision.gpu.segmenter import GpuSegmenter
from segtriton_server.vision.networks.fused import fuse
from segtriton_server.vision.networks.torchvision_network import MEAN_RGB, SEEDED, STD_RGB, TorchvisionNetwork
from segtriton_server.vision.segmenter import ClassIds

INPUT_HW = 224, 224
MOST = 32
ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]
DECIDED = 0.1  # how far ahead a class must be, in logits, that half precision cannot turn it
PERSON = frozenset({15})


@dataclass(frozen=True)
class Loaded:
    """One network twice: as the server runs it, and as torchvision has it."""

    name: str
    runner: GraphRunner
    half: nn.Module
    reference: nn.Module
    stream: torch.cuda.Stream

    def masks(self, inputs: Tensor, weights: Tensor) -> Tensor:
        count = len(inputs)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream), torch.inference_mode():
            self.runner.inputs[:count] = inputs
            self.runner.weights[:count] = weights
            masks = self.runner.run(count).clone()
        self.stream.synchronize()
        return masks


@pytest.fixture(scope="module", params=GPU_NETWORKS)
def loaded(request: pytest.FixtureRequest, device: None) -> Iterator[Loaded]:
    definition: TorchvisionNetwork = importlib.import_module(
        f"segtriton_server.vision.networks.{request.param}"
    ).NETWORK
    stream = torch.cuda.Stream()
    fused = fuse(definition.load(Path(), SEEDED))
    runner = GraphRunner(ClassMasks(fused), INPUT_HW, MOST, stream)
    yield Loaded(request.param, runner, fused, definition.load(Path(), SEEDED).cuda(), stream)
    torch.cuda.empty_cache()


@pytest.fixture(autouse=True)
def exact_float32(device: None) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def network_inputs(count: int) -> Tensor:
    """Pictures as the network wants them: half [n, h, w, 3]."""
    pictures = torch.from_numpy(np.stack(source_rgb(INPUT_HW, count))).cuda().float() / 255
    mean, deviation = torch.tensor(MEAN_RGB, device="cuda"), torch.tensor(STD_RGB, device="cuda")
    return ((pictures - mean) / deviation).half()


def logits_of(network: nn.Module, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = network(inputs.permute(0, 3, 1, 2))["out"]
    return logits.float()


@pytest.mark.parametrize("count", [1, 3, MOST])
def test_masks_are_the_probabilities_of_torchvision(loaded: Loaded, count: int) -> None:
    inputs = network_inputs(count)
    # One class, two and three of them, beside each other in a batch.
    wanted = [{number % 21, *range(number % 3)} for number in range(count)]
    weights = torch.tensor([[number in one for number in range(21)] for one in wanted], device="cuda")
    masks = loaded.masks(inputs, weights.half()).float() / 255

    probabilities = logits_of(loaded.reference, inputs.float()).softmax(dim=1)
    expected = torch.stack([one[list(chosen)].sum(dim=0) for one, chosen in zip(probabilities, wanted, strict=True)])
    assert masks.shape == expected.shape
    assert float((masks - expected).abs().mean()) < 0.01
    assert float((masks - expected).abs().max()) < 0.2


def test_the_class_map_is_that_of_torchvision(loaded: Loaded) -> None:
    inputs = network_inputs(8)
    found = logits_of(loaded.half, inputs).argmax(dim=1)

    expected = logits_of(loaded.reference, inputs.float())
    first, second = expected.topk(2, dim=1).values.unbind(dim=1)
    equal = found == expected.argmax(dim=1)
    assert float(equal[first - second > DECIDED].float().mean()) > 0.995
    assert float(equal.float().mean()) > 0.97


def test_seeded_weights_show_several_classes(loaded: Loaded) -> None:
    classes = logits_of(loaded.half, network_inputs(8)).argmax(dim=1)

    assert len(classes.unique()) >= 5


def test_groups_of_mixed_sizes_give_what_each_gives_alone(loaded: Loaded, kernels: PixelKernels) -> None:
    segmenter = GpuSegmenter(loaded.name, loaded.runner, kernels, loaded.stream)
    groups: list[DevicePictures] = [
        upload(source_planes((640, 360), 3)),
        upload([(rgb,) for rgb in source_rgb((127, 95), 2)]),
        upload(source_planes((1920, 1080), 1)),
        upload(source_planes((126, 94), 4)),
    ]
    classes = [PERSON, frozenset({0}), frozenset({3, 7}), frozenset(range(1, 21))]

    together = [masks.tensor.clone() for masks in synchronized(segmenter, groups, classes)]
    alone = [
        synchronized(segmenter, [group], [wanted])[0].tensor.clone()
        for group, wanted in zip(groups, classes, strict=True)
    ]

    for shared, single, group in zip(together, alone, groups, strict=True):
        assert shared.shape == (len(group), *INPUT_HW)
        difference = (shared.int() - single.int()).abs().float()
        assert float(difference.max()) <= 8
        assert float((difference <= 2).float().mean()) > 0.999


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_masks_lie_as_their_pictures_are_stored(kernels: PixelKernels, orientation: Orientation) -> None:
    settings = Settings(accelerator="gpu", network="lraspp_mobilenet_v3_large", weights=SEEDED, batch_size=4)
    segmenter = create_gpu_segmenter(settings, kernels)
    upright = source_rgb((320, 192), 2)
    stored = [(np.ascontiguousarray(orientation.to_stored(rgb)),) for rgb in upright]
    beside = upload([(rgb,) for rgb in upright])

    turned, plain = segmenter.segment([upload(stored), beside], [PERSON, PERSON], [orientation, UPRIGHT])
    torch.cuda.synchronize()

    assert turned.tensor.is_contiguous()
    for mask, expected in zip(turned.tensor.cpu().numpy(), plain.tensor.cpu().numpy(), strict=True):
        difference = np.abs(orientation.to_shown(mask).astype(int) - expected)
        assert difference.max() <= 8
        assert expected.std() > 1


def test_a_network_goes_on_after_other_work_has_used_the_memory(kernels: PixelKernels) -> None:
    settings = Settings(accelerator="gpu", network="lraspp_mobilenet_v3_large", weights=SEEDED, batch_size=4)
    segmenter = create_gpu_segmenter(settings, kernels)
    group = upload(source_planes((640, 360), 2))
    first = synchronized(segmenter, [group], [PERSON])[0].tensor.clone()
    gc.collect()
    # What nobody holds any more is given to these.
    _others = [torch.zeros(1 << 20, device="cuda") for _ in range(64)]

    again = synchronized(segmenter, [group], [PERSON])[0].tensor
    assert int(first.max()) > 0
    assert torch.equal(first, again)


def synchronized(segmenter: GpuSegmenter, groups: list[DevicePictures], classes: list[ClassIds]) -> list[DeviceMasks]:
    masks = segmenter.segment(groups, classes)
    torch.cuda.synchronize()
    return masks
