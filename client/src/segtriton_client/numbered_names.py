"""Names of numbered files, such as `frame_%04d.png`, in which FFmpeg's `%d` stands for a number."""

from __future__ import annotations

import re
from pathlib import Path

from segtriton_client.system_errors import reading

_NUMBER = re.compile(r"%0?\d*d")


def is_numbered(name: str) -> bool:
    """Tell whether a name has a place for a number."""
    return _NUMBER.search(name) is not None


def with_number(name: str, number: int) -> str:
    """Return the name with the number in its place."""
    return _NUMBER.sub(lambda found: found[0] % number, name, count=1)


def files_like(pattern: Path) -> list[Path]:
    """Return the files whose names have a number in that place; raises InputError."""
    before, after = map(re.escape, _NUMBER.split(pattern.name, maxsplit=1))
    name = re.compile(rf"{before}\d+{after}")
    with reading(pattern.parent):
        return sorted(path for path in pattern.parent.glob("*") if name.fullmatch(path.name))


def as_ffmpeg_pattern(pattern: str) -> str:
    """Return the pattern as FFmpeg reads it: a percent sign that is none of a number is written twice."""
    return re.sub(r"%(?!0?\d*d)", "%%", pattern)
