"""How much memory this process and all others of its container may use together."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

# Of each hierarchy: where it is mounted, and the file of each group that holds its limit.
_UNIFIED = ("sys/fs/cgroup", "memory.max")
_UNIFIED_BESIDE_OTHERS = ("sys/fs/cgroup/unified", "memory.max")
_MEMORY_ALONE = ("sys/fs/cgroup/memory", "memory.limit_in_bytes")


def memory_limit(root: Path = Path("/")) -> int:
    """Return the bytes that the kernel allows: the least of the limits of all groups around it, or all there are.

    Args:
        root: what stands for the root of the file system.

    Raises:
        OSError: the kernel tells nothing of itself.
    """
    limits = [int(_field(root / "proc/meminfo", "MemTotal:")) * 1024]
    for line in (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            limits += [*_limits(root, path, *_UNIFIED), *_limits(root, path, *_UNIFIED_BESIDE_OTHERS)]
        elif "memory" in controllers.split(","):
            limits += _limits(root, path, *_MEMORY_ALONE)
    return min(limits)


def _limits(root: Path, group: str, mount: str, name: str) -> list[int]:
    """The limits of a group and of those around it; in a container only the innermost may be there, as the mount."""
    path = PurePosixPath(group.lstrip("/"))
    texts = [_read(root / mount / folder / name) for folder in (path, *path.parents)]
    return [int(text) for text in texts if text.isdecimal()]  # "max" is none


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _field(path: Path, name: str) -> str:
    return next(line.split()[1] for line in path.read_text(encoding="ascii").splitlines() if line.startswith(name))
