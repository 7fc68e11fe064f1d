"""A GPU's memory belongs to all its sessions: what runs out in the middle of one is often back a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSES_SECONDS = (0.05, 0.2, 0.5)


def call_until_memory_is_back(
    call: Callable[[], T], lacks_memory: Callable[[Exception], bool], give_memory_back: Callable[[], None]
) -> T:
    """Return what `call` returns, calling it again, after a pause each time, while memory is lacking.

    Args:
        call: may be called again after it has failed for lack of memory.
        lacks_memory: whether an exception means that.
        give_memory_back: frees what is only kept for reuse.

    Raises:
        Exception: whatever `call` raised the last time, or for another reason than memory.
    """
    for seconds in _PAUSES_SECONDS:
        try:
            return call()
        except Exception as error:
            if not lacks_memory(error):
                raise
        give_memory_back()
        time.sleep(seconds)
    return call()
