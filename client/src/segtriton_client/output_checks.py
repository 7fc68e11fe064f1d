"""What is checked of outputs before any work: that no input is lost, no two are one file, and all can be written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeGuard

import click

from segtriton_client.errors import InputError
from segtriton_client.file_kinds import exists, is_folder, is_stream
from segtriton_client.image_files import images_of, result_names
from segtriton_client.image_sequence import is_sequence
from segtriton_client.job import Job
from segtriton_client.numbered_names import files_like, is_numbered
from segtriton_client.sources import Destination, Source, expand, scheme_of
from segtriton_client.system_errors import writing
from segtriton_client.unfinished_file import UnfinishedFile, check_writable


def check_report(sources: Iterable[Source], others_read: Iterable[Path], report: Path, *, streams: bool) -> None:
    """Raise UsageError if the report is what is read; before all that fails with a report."""
    read = list(others_read)
    for source in sources:
        with suppress(InputError):  # told later, in that report
            read += [path for found in expand([source], streams=streams) for path in _read_by(found, _images_in(found))]
    check_places(read, [report])


def prepare_outputs(jobs: Iterable[Job], others_read: Iterable[Path], report: Path | None, *, overwrite: bool) -> None:
    """Check what the jobs write, and make its folders.

    Raises:
        click.UsageError: an output is what is read, is another output, or must not be replaced.
        OutputError: an output cannot be written.
        InputError: a folder cannot be read.
    """
    jobs = [job for job in jobs if not _is_missing(job.input)]  # of the others it is the input that is told
    read: list[Path] = []
    written: list[Path] = []
    probed: list[Path] = []  # whose making tells whether a job's outputs can be written
    for job in jobs:
        images = _images_in(job.input)
        results = result_names(images)
        read += _read_by(job.input, images)
        for place in (target for target in job.outputs if isinstance(target, Path)):
            made = [place / name for name in results]
            written += [place, *(_numbered(place) if is_sequence(place) else made)]
            probed += made[:1] if _is_folder(job.input) else [place]
    check_places([*read, *others_read], [*written, report] if report else written)
    for target in (target for job in jobs for target in job.outputs):
        if not overwrite and is_there(target):
            raise click.UsageError(f"{target} exists; choose another with -o, or give --overwrite or --continue.")
    for path in probed:
        check_writable(path)
    if report:
        check_writable(report)


def check_places(read: Iterable[Path], written: Iterable[Path]) -> None:
    """Raise UsageError where a file that is written is one that is read, or another one that is written."""
    inputs = {_identity(path): path for path in read}
    places: dict[str, set[Path]] = {}
    for path in written:
        if is_stream(path):
            continue
        if (source := inputs.get(_identity(path))) is not None:
            raise click.UsageError(f"The output {path} is the input itself: {source}.")
        with writing(path):  # in a folder that is gone no name can be found
            place = Path(os.path.realpath(path))
        alike = places.setdefault(str(place).casefold(), set())
        if place in alike or (alike and _ignores_case(place)):
            raise click.UsageError(f"Two results would go to {path}; give them different names or folders.")
        alike.add(place)


def is_there(target: Destination) -> bool:
    """Tell whether an output is there, of numbered images any: it has its name only when it is complete."""
    if not isinstance(target, Path) or is_stream(target):
        return False
    return bool(_numbered(target)) if is_sequence(target) else exists(target)


def _is_missing(source: Source) -> bool:
    return isinstance(source, Path) and not exists(source)


def _read_by(source: Source, images: Iterable[Path]) -> Iterator[Path]:
    if isinstance(source, Path):
        yield source
        yield from images
    elif is_numbered(source) and not scheme_of(source):
        yield from _numbered(Path(source))


def _images_in(source: Source) -> list[Path]:
    """Return what is read of a folder of images, none of anything else; each is looked into."""
    return images_of(source) if _is_folder(source) else []


def _is_folder(source: Source) -> TypeGuard[Path]:
    return isinstance(source, Path) and is_folder(source)


def _numbered(pattern: Path) -> list[Path]:
    return files_like(pattern) if is_folder(pattern.parent) else []


def _identity(path: Path) -> object:
    """Return what two names have in common if and only if they lead to one file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return path
    return found.st_dev, found.st_ino


def _ignores_case(place: Path) -> bool:
    """Tell whether a file system takes names that differ in their case for one."""
    check_writable(place)
    with UnfinishedFile(place) as probe:
        return exists(probe.written.with_name(probe.written.name.swapcase()))
