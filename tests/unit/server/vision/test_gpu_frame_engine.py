"""Raw frames on their way to a GPU and back, without a GPU: on streams that really lag."""

import importlib
import weakref
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import gpu_packages
import numpy as np
import pytest
from lagging_torch import FakeTensor, FakeTorch

from segtriton_server.settings import Settings
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.frame_engine import FrameJob

_GPU = "segtriton_server.vision.gpu"
_ENGINE = f"{_GPU}.frame_engine"


class Masks:
    """Lie in memory that the network's next batch takes once nobody holds them."""


class Segmenter:
    max_batch_size = 4

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.states: list[list[Any]] = []

    def start(self) -> object:
        return object()

    def segment(self, inputs: Sequence[Any], classes: Sequence[Any], *, states: Sequence[Any]) -> list[Masks]:
        self.batches.append([len(pictures) for pictures in inputs])
        self.states.append(list(states))
        return [Masks() for _ in inputs]


class Compositor:
    """Writes 255 - source, later, if the masks are still there by then."""

    def __init__(self, *_: Any) -> None: ...

    def compose(self, pictures: Any, masks: Masks, out: Any) -> None:
        held, (source,), (target,) = weakref.ref(masks), pictures.planes, out.planes

        def draw() -> None:
            assert held() is not None, "the network has written over the masks"
            np.subtract(255, source.array, out=target.array)

        assert FakeTorch.current is not None
        FakeTorch.current.enqueue(draw)


class Gpu:
    def __init__(self, torch: FakeTorch, segmenter: Segmenter, engine: Any) -> None:
        self.torch, self.segmenter, self.engine = torch, segmenter, engine


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    torch, segmenter = FakeTorch(), Segmenter()
    networks: Any = ModuleType(f"{_GPU}.networks")
    networks.open_network = lambda settings: (None, segmenter)
    compositor: Any = ModuleType(f"{_GPU}.compositor")
    compositor.GpuCompositor = Compositor
    packages = {"torch": torch, networks.__name__: networks, compositor.__name__: compositor}
    with gpu_packages.replaced(packages, [_ENGINE, "segtriton_server.device.pictures"]):
        yield Gpu(torch, segmenter, importlib.import_module(_ENGINE).GpuFrameEngine(Settings()))


def job(count: int, height: int, width: int) -> FrameJob:
    frames = (np.arange(count * height * width * 3) % 251).astype(np.uint8).reshape(count, height, width, 3)
    return FrameJob(frames, frozenset({1}), EffectSpec("mask"))


def test_composites_are_complete_when_they_are_answered(gpu: Gpu) -> None:
    jobs = [job(6, 3, 5), job(1, 4, 4), job(2, 2, 7)]

    for given, answer in zip(jobs, gpu.engine.compose(jobs), strict=True):
        assert np.array_equal(answer, 255 - given.frames)
    assert gpu.segmenter.batches == [[4], [2, 1, 1], [1]]


def test_the_frames_of_a_request_follow_each_other_and_those_of_another_do_not(gpu: Gpu) -> None:
    gpu.engine.compose([job(6, 3, 5), job(1, 4, 4)])

    (first,), (again, other) = gpu.segmenter.states
    assert first is again is not other


def test_composites_are_answered_from_where_the_device_wrote_them(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    page_locked: list[FakeTensor] = []
    empty = gpu.torch.empty

    def note(shape: Any, **options: Any) -> Any:
        tensor = empty(shape, **options)
        page_locked.extend([tensor] if tensor.pinned else [])
        return tensor

    monkeypatch.setattr(gpu.torch, "empty", note)
    (answer,) = gpu.engine.compose([job(6, 3, 5)])

    assert sum(np.shares_memory(answer, tensor.array) for tensor in page_locked) == 1
    assert [tensor.shape[0] for tensor in page_locked] == [6, 4, 2]  # the answer, and the frames of two batches


def test_answers_of_one_call_outlive_the_next(gpu: Gpu) -> None:
    first, second = job(2, 3, 3), job(2, 3, 3)
    (answer,) = gpu.engine.compose([first])
    gpu.engine.compose([FrameJob(second.frames + 1, second.class_ids, second.effect)])

    assert np.array_equal(answer, 255 - first.frames)
