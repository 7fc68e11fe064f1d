"""Which networks have models beside the one that asks."""

from __future__ import annotations

from pathlib import Path

_STREAMING = "_streaming"
_MOST = 256


def find_networks(repository: Path | None) -> tuple[str, ...]:
    """Return the names, sorted, of the networks with a streaming model in a folder: at most 256."""
    if repository is None:
        return ()
    found = (path.parent.name for path in repository.glob(f"*{_STREAMING}/config.pbtxt"))
    return tuple(sorted(name.removesuffix(_STREAMING) for name in found)[:_MOST])
