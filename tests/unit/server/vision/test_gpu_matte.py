"""When a GPU refines masks; what it makes of them is tested on a GPU."""

import importlib
from types import ModuleType
from typing import Any

import gpu_packages
import pytest

from segtriton_protocol import MatteSpec

SMOOTH, SOFT_OUTWARDS, SOFT_INWARDS = MatteSpec(smoothing=0.5), MatteSpec(feather=0.1), MatteSpec(feather=-0.1)
PLAIN, OTHERS, EDGES, SPARSE = MatteSpec(), MatteSpec(inverted=True), MatteSpec(edges=1.0), MatteSpec(mask_every=3)


@pytest.fixture
def matte() -> Any:
    functional: Any = ModuleType("torch.nn.functional")
    functional.avg_pool2d = functional.pad = None
    packages = {"torch": ModuleType("torch"), "torch.nn": ModuleType("torch.nn"), functional.__name__: functional}
    name = "segtriton_server.vision.gpu.matte"
    with gpu_packages.replaced(packages, [name, "segtriton_server.device.pictures"]):
        yield importlib.import_module(name)


def test_masks_are_refined_only_where_a_gpu_changes_them(matte: Any) -> None:
    stream: Any = "a session's"
    for spec in (SMOOTH, SOFT_OUTWARDS, SOFT_INWARDS):
        assert isinstance(matte.create_matte(spec, stream), matte.GpuMatte)
    for spec in (PLAIN, OTHERS, EDGES, SPARSE):
        assert matte.create_matte(spec, stream) is None
