"""What lies under a name; a name that cannot be looked at counts as one under which nothing lies."""

from __future__ import annotations

import stat
from pathlib import Path

# What the process has open already: these names stand for it, even where it is a file on a disk.
_STANDARD_STREAMS = ("/dev/stdin", "/dev/stdout", "/dev/stderr")
_DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")


def kind_of(path: Path) -> int:
    """Return the kind as `stat.S_IFMT` does, of what a link points to; 0 if nothing is seen there."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):  # too long, a loop of links, a folder that may not be entered, a NUL
        return 0


def exists(path: Path) -> bool:
    """Tell whether something is seen there."""
    return kind_of(path) != 0


def is_folder(path: Path) -> bool:
    """Tell whether it is a folder."""
    return kind_of(path) == stat.S_IFDIR


def is_stream(path: Path) -> bool:
    """Tell whether it is read and written as it goes: a pipe, a device, a socket, or what the process has open."""
    is_open = str(path) in _STANDARD_STREAMS or str(path).startswith(_DESCRIPTORS)
    return is_open or kind_of(path) not in (0, stat.S_IFREG, stat.S_IFDIR)


def is_regular(path: Path) -> bool:
    """Tell whether it is a file that may be read again and again."""
    return kind_of(path) == stat.S_IFREG and not is_stream(path)
