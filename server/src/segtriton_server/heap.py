"""What the C library does with memory that was freed: kept at hand for the next picture, or given back to the kernel.

The server is started with the C library's thresholds fixed at their small defaults (`launch.environment`, and the
images), so that Triton does not keep what a busy time has left. Processes that work on pictures take and free blocks of
megabytes for each of them, which would then cost a call of the kernel and its page faults each time.
"""

import ctypes
import os

_C_LIBRARY = ctypes.CDLL("libc.so.6")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# The most that the C library takes.
_LARGEST_BLOCK = 32 << 20


def keep_freed_blocks() -> None:
    """Keep freed blocks of up to 32 MiB for the next ones."""
    _C_LIBRARY.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
    _C_LIBRARY.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_BLOCK)


def limit_arenas() -> None:
    """Share arenas between threads: the C library has eight for each core, and each keeps what it once held."""
    _C_LIBRARY.mallopt(_M_ARENA_MAX, os.cpu_count() or 1)


def give_memory_back() -> None:
    """Give back to the kernel what is free."""
    _C_LIBRARY.malloc_trim(0)
