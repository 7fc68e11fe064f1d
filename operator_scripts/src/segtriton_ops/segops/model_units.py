"""What a push adds to a repository, and nothing that it changes: whole models, versions of them, networks' files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import click

from segtriton_ops.segops.model_files import (
    CONFIG,
    MANIFEST,
    Sums,
    digest_of,
    format_sums,
    is_version,
    sums_here,
    versions_of,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What gets its name at once: a model, one version of a model, or a network's file."""

    target: str
    source: Path

    def files(self) -> dict[str, Path]:
        """Return its files by their paths in it; a file alone is the unit itself."""
        if self.source.is_file():
            return {"": self.source}
        return {name: self.source / name for name in sums_here(self.source)}


def plan(sources: Sequence[Path], there: Sums, are_networks: bool) -> list[Unit]:
    """Return what is to be pushed; raises ClickException where something else has that name."""
    units_of = network_units if are_networks else model_units
    return [unit for source in sources for unit in units_of(source.resolve(), there)]


def network_units(source: Path, there: Sums) -> Iterator[Unit]:
    """Give a network's file, if it is not there."""
    if not source.is_file():
        raise click.ClickException(f"{source} is not a file; networks are files.")
    if source.name not in there:
        yield Unit(source.name, source)
    elif there[source.name] != digest_of(source):
        raise click.ClickException(
            f"{source.name} is there with other content, and pods may be reading it: give this one another name."
        )


def model_units(source: Path, there: Sums) -> Iterator[Unit]:
    """Give a model, or those of its versions that are not there."""
    model, here = source.name, sums_here(source) if source.is_dir() else {}
    versions = versions_of({f"{model}/{path}": digest for path, digest in here.items()}, model)
    if CONFIG not in here or not versions:
        raise click.ClickException(f"{source} is not the folder of a model: that has {CONFIG} and versions, 1, 2, ...")
    known = {path.partition("/")[2]: digest for path, digest in there.items() if path.startswith(f"{model}/")}
    if not known:
        yield Unit(model, source)
        return
    if outside_versions(here) != outside_versions(known):
        raise click.ClickException(
            f"{model} is there with another {CONFIG}, which pods read when they start: push it under another name, or "
            "all models into another --folder, and lead the release there (modelRepository.subPath)."
        )
    for version in versions:
        ours, theirs = (version_sums(sums, version) for sums in (here, known))
        if not theirs:
            yield Unit(f"{model}/{version}", source / str(version))
        elif ours != theirs:
            raise click.ClickException(
                f"version {version} of {model} is there with other files, and pods may serve it: versions are never "
                "changed; give this one another number."
            )


def outside_versions(sums: Sums) -> Sums:
    """Return those files of a model that all of its versions share."""
    return {path: digest for path, digest in sums.items() if not is_version(PurePosixPath(path).parts[0])}


def version_sums(sums: Sums, version: int) -> Sums:
    """Return the files of one version."""
    return {path: digest for path, digest in sums.items() if path.startswith(f"{version}/")}


def write_archive(archive: IO[bytes], unit: Unit) -> None:
    """Write a tar file of a unit, the manifest that stays with it, and the sums of all that is in the archive."""
    files = unit.files()
    sums = {name: digest_of(path) for name, path in files.items()}
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for name, path in files.items():
            tar.add(path, _inside(name), filter=_readable)
        if "" not in files:
            _add_text(tar, _inside(MANIFEST), format_sums(sums))
        _add_text(tar, "sums", format_sums({_inside(name): digest for name, digest in sums.items()}))


def _inside(name: str) -> str:
    return str(PurePosixPath("unit") / name)


def _readable(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o644
    return member


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    tar.addfile(member, io.BytesIO(text.encode()))
