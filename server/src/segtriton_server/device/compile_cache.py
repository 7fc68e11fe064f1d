"""The folder of what was compiled for a device, which several workers share."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, in a folder that need not be there yet, so that no other worker ever reads half of it.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
