"""When a GPU refines masks; what it makes of them is tested on a GPU."""

import importlib
from dataclasses import replace
from types import ModuleType
from typing import Any

import gpu_packages
import pytest

from segtriton_protocol import MatteSpec

PLAIN = MatteSpec.untreated()
SMOOTH, SOFT_OUTWARDS = replace(PLAIN, smoothing=0.5), replace(PLAIN, feather=0.1)
SOFT_INWARDS, OTHERS = replace(PLAIN, feather=-0.1), replace(PLAIN, inverted=True)
EDGES, SPARSE = replace(PLAIN, edges=1.0), replace(PLAIN, mask_every=3)


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
