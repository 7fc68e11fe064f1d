"""Calls of the kernel for which Python has no function."""

from __future__ import annotations

import ctypes
import os
from typing import Any

_C_LIBRARY = ctypes.CDLL(None, use_errno=True)
_PR_SET_NO_NEW_PRIVS = 38


def system_call(number: int, *arguments: Any) -> int:
    """Make a system call by its number; raises OSError where the kernel refuses."""
    return _checked(_C_LIBRARY.syscall(number, *arguments))


def take_no_new_privileges() -> None:
    """Let no program that this thread starts have more rights than it; without that, filters may not be set."""
    _checked(_C_LIBRARY.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
