"""Where a GPU's memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from segtriton_server.device.memory_patience import call_until_memory_is_back

T = TypeVar("T")


def with_memory(call: Callable[[], T]) -> T:
    """Return what `call` returns; see `call_until_memory_is_back`."""
    return call_until_memory_is_back(call, lacks_memory, torch.cuda.empty_cache)


def lacks_memory(error: Exception) -> bool:
    """Whether an exception says that; all but torch say it in words only."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error).lower()
