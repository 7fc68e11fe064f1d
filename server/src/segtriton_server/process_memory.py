"""What the C library does with a process's memory: what was freed is kept for the next picture, or given back.

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
_PTHREAD_ATTRIBUTES_BYTES = 56  # sizeof(pthread_attr_t) of glibc on 64 bits
_STACK_BYTES = 1 << 20


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


def limit_stacks() -> None:
    """Give each further thread a stack of a size that threads of codecs need, not the 8 MiB that most systems set.

    A worker's memory bound counts what is mapped, and a session has ten threads.
    """
    attributes = ctypes.create_string_buffer(_PTHREAD_ATTRIBUTES_BYTES)
    _C_LIBRARY.pthread_attr_init(attributes)
    _C_LIBRARY.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_BYTES))
    _C_LIBRARY.pthread_setattr_default_np(attributes)
