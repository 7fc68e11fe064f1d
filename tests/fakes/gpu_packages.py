"""Modules that need a GPU's packages, imported on fakes of these."""

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

import pytest


@contextmanager
def replaced(packages: Mapping[str, ModuleType], users: Collection[str]) -> Iterator[None]:
    """Put fakes in the place of packages; who uses them is imported anew meanwhile, and forgotten afterwards."""
    before = {name: sys.modules.pop(name) for name in users if name in sys.modules}
    with pytest.MonkeyPatch.context() as patch:
        for name, fake in packages.items():
            patch.setitem(sys.modules, name, fake)
        yield
    for name in users:
        sys.modules.pop(name, None)
    for name, module in before.items():
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)
