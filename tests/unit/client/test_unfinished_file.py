"""Files under temporary names: what was there before stays as it was, and a link stays a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from segtriton_client.errors import OutputError
from segtriton_client.unfinished_file import UnfinishedFile, check_writable, write_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("is_finished", [True, False])
def test_what_has_the_temporary_name_already_is_neither_written_nor_removed(tmp_path: Path, is_finished: bool) -> None:
    theirs = tmp_path / "x.part.mp4"
    theirs.write_bytes(b"theirs")
    with UnfinishedFile(tmp_path / "x.mp4") as file:
        assert file.written == tmp_path / "x.part2.mp4"
        file.write(b"ours")
        if is_finished:
            file.commit()

    assert theirs.read_bytes() == b"theirs"
    assert names(tmp_path) == ["x.mp4", "x.part.mp4"][not is_finished :]


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x.part.mp4").symlink_to(tmp_path / "precious")
    write_file(tmp_path / "x.mp4", b"ours")

    assert not (tmp_path / "precious").exists()
    assert (tmp_path / "x.part.mp4").is_symlink()


def test_two_runs_at_the_same_time_do_not_write_into_one_file(tmp_path: Path) -> None:
    with UnfinishedFile(tmp_path / "x.mp4") as first, UnfinishedFile(tmp_path / "x.mp4") as second:
        first.write(b"first")
        second.write(b"second")
        second.commit()
        assert (tmp_path / "x.mp4").read_bytes() == b"second"
        first.commit()

    assert (tmp_path / "x.mp4").read_bytes() == b"first"
    assert names(tmp_path) == ["x.mp4"]


def test_names_that_are_needed_later_are_not_taken_as_temporary_ones(tmp_path: Path) -> None:
    with UnfinishedFile(tmp_path / "a.png", {"a.part.png"}) as file:
        assert file.written == tmp_path / "a.part2.png"


@pytest.mark.parametrize("letter", ["x", "ä", "🎬"])
def test_a_name_may_be_as_long_as_names_may_be(tmp_path: Path, letter: str) -> None:
    path = tmp_path / f"{letter * (251 // len(letter.encode()))}.mp4"
    write_file(path, b"ours")

    assert names(tmp_path) == [path.name]


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long"):
        UnfinishedFile(tmp_path / f"{'x' * 252}.mp4")
    assert names(tmp_path) == []


@pytest.mark.parametrize("target", ["there.mp4", "missing.mp4"])
def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path, target: str) -> None:
    away, link = tmp_path / "away", tmp_path / "x.mp4"
    away.mkdir()
    (away / "there.mp4").write_bytes(b"before")
    link.symlink_to(Path("away") / target)
    with UnfinishedFile(link) as file:
        file.write(b"ours")
        assert file.written.parent == away  # a rename is whole only within a disk
        file.commit()

    assert link.is_symlink()
    assert (away / target).read_bytes() == b"ours"
    assert names(away) == sorted({"there.mp4", target})


@pytest.mark.parametrize("kind", ["folder", "loop", "below a file"])
def test_where_no_file_can_be_is_refused_before_the_work(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.touch()
        path = path / "y.mp4"
    before = names(tmp_path)
    with pytest.raises(OutputError, match="Cannot write"):
        check_writable(path)

    assert names(tmp_path) == before


def test_a_pipe_is_written_as_what_it_is(tmp_path: Path) -> None:
    fifo = tmp_path / "x.json"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_file(fifo, b"ours")

    assert os.read(reader, 100) == b"ours"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert names(tmp_path) == ["x.json"]
    os.close(reader)


def test_what_is_kept_of_an_interrupted_run_is_more_than_an_empty_file(tmp_path: Path) -> None:
    with UnfinishedFile(tmp_path / "empty.mp4") as empty, UnfinishedFile(tmp_path / "some.mp4") as some:
        some.write(b"some")
        assert (empty.keep(), some.keep()) == (False, True)

    assert names(tmp_path) == ["some.part.mp4"]
