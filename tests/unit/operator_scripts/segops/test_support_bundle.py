"""The bundle as a file: complete or not there, for its owner only, and a pipe as it is."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from pathlib import Path

import click
import pytest

from segtriton_ops.segops.support_bundle import write_bundle

FILES = [("status.txt", "well"), ("pods/a/a.log", "line")]


def read(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}


def test_it_is_its_owners_only_and_a_link_stays_one(tmp_path: Path) -> None:
    link, target = tmp_path / "link.tar.gz", tmp_path / "target.tar.gz"
    link.symlink_to(target)
    write_bundle(link, "stem", FILES)

    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert read(target.read_bytes()) == {"stem/status.txt": b"well", "stem/pods/a/a.log": b"line"}
    assert len(list(tmp_path.iterdir())) == 2


def test_a_pipe_keeps_its_permissions(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe, 0o640)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_bundle(pipe, "stem", FILES)
    reader.join(20)

    assert stat.S_IMODE(pipe.stat().st_mode) == 0o640
    assert len(read(found[0])) == len(FILES)


def test_one_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(click.ClickException, match="Cannot write"):
        write_bundle(tmp_path / "file" / "bundle.tar.gz", "stem", FILES)
