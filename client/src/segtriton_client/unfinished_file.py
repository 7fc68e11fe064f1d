"""Files that have their names only when they are complete.

A file grows beside its place as NAME.part.EXT, or as NAME.part2.EXT and so on where such a file is there. It is made
exclusively, so nothing that was there before is written to, and renamed at the end. What a link points to is replaced,
and the link stays. A pipe or a device has no temporary name: it is written as it is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from segtriton_client.file_kinds import exists, is_folder, is_stream
from segtriton_client.system_errors import writing

_MAX_NAME_BYTES = 255


class UnfinishedFile:
    """A file under its temporary name; `commit` gives it its own, leaving without removes it.

    Attributes:
        path: its name in the end, as the caller gave it.
        written: the name to write to until then.
        is_stream: whether it is a pipe or a device, for which both names are one.
    """

    def __init__(self, path: Path, avoid: Collection[str] = ()) -> None:
        """Make the file under a temporary name that is none of the names `avoid`; raises OutputError."""
        self.path = path
        self.is_stream = is_stream(path)
        self._place = self.written = path
        if not self.is_stream:
            with writing(path):
                self._place = Path(os.path.realpath(path))
                _check_place(self._place)
                self.written = _make_beside(self._place, avoid)
        self._is_pending = not self.is_stream

    def __enter__(self) -> UnfinishedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, content: bytes) -> None:
        """Write all of the content; raises OutputError."""
        with writing(self.path), self.written.open("ab") as file:
            file.write(content)

    def commit(self) -> None:
        """Give the file its name; raises OutputError."""
        if self._is_pending:
            with writing(self.path):
                self.written.replace(self._place)
            self._is_pending = False

    def keep(self) -> bool:
        """Leave the file under its temporary name, unless it is empty; tell whether it is left."""
        if self._is_pending and _size_of(self.written):
            self._is_pending = False
            return True
        self.discard()
        return False

    def discard(self) -> None:
        """Remove the file unless it has its name."""
        if self._is_pending:
            self._is_pending = False
            with suppress(OSError):  # a disk that is gone, say: what ended the run is told
                self.written.unlink()


class DeferredWriter:
    """Opens what it writes to only when something is written: opening a pipe waits for its reader."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def write(self, content: bytes) -> int:
        """Write all of the content and return its length; raises OSError."""
        if self._file is None:
            self._file = self._path.open("ab")
        self._file.write(content)
        self._file.flush()
        return len(content)

    def close(self) -> None:
        """Close what was opened."""
        if self._file is not None:
            self._file.close()


def write_file(path: Path, content: bytes) -> None:
    """Write a file that is complete as soon as it has its name; raises OutputError."""
    with UnfinishedFile(path) as file:
        file.write(content)
        file.commit()


def check_writable(path: Path) -> None:
    """Make the folder of a file to be, and raise OutputError if no file can be made there."""
    if is_stream(path):
        with writing(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return
    make_folder_of(path)
    UnfinishedFile(path).discard()


def make_folder_of(path: Path) -> None:
    """Make the folder of what is to be written; raises OutputError."""
    with writing(path):
        folder = Path(os.path.realpath(path)).parent
        if exists(folder) and not is_folder(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder.mkdir(parents=True, exist_ok=True)


def _check_place(place: Path) -> None:
    """Raise OSError where the finished file could not be renamed to: now, not after the work."""
    if is_folder(place):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if place.is_symlink():  # still, so that it leads to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    with suppress(FileNotFoundError):
        place.lstat()
        if not os.access(place, os.W_OK):  # a rename would not ask
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _make_beside(place: Path, avoid: Collection[str]) -> Path:
    for name in _temporary_names(place):
        if name not in avoid:
            with suppress(FileExistsError):
                candidate = place.with_name(name)
                candidate.touch(exist_ok=False)
                return candidate
    raise AssertionError("there is always another number")


def _temporary_names(place: Path) -> Iterator[str]:
    for number in count(1):
        mark = f".part{'' if number == 1 else number}{place.suffix}"
        stem = place.stem
        while stem and len(os.fsencode(stem + mark)) > _MAX_NAME_BYTES:
            stem = stem[:-1]
        yield stem + mark


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
