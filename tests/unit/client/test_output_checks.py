"""No input is lost to an output, a temporary file or a report, whatever they are called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from client_clips import CFR, frame_times, make_clip
from echo_service import EchoService
from segclient_process import run

from segtriton_client import output_checks
from segtriton_client.image_files import write_image
from segtriton_client.still_images import read_still

WAYS = pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@WAYS
@pytest.mark.parametrize("name", ["x.part.mp4", "x.PART.mp4"])
def test_an_input_may_have_the_name_of_a_temporary_file(serve, tmp_path: Path, way: list[str], name: str) -> None:
    clip, made = make_clip(tmp_path / name), tmp_path / "x.mp4"
    before = clip.read_bytes()
    run("--endpoint", serve(EchoService()), *way, clip, "-o", made)

    assert clip.read_bytes() == before
    assert frame_times(made) == frame_times(clip)
    assert sorted(contents(tmp_path)) == sorted([name, "x.mp4"])


@pytest.mark.parametrize("output", ["masks.jsonl", "frame_%d.png", "x.webm"])
def test_no_sink_takes_a_temporary_name_that_is_there(serve, tmp_path: Path, output: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    theirs = [tmp_path / name for name in ("masks.part.jsonl", "frame_1.part.png", "x.part.webm")]
    for path in theirs:
        path.write_bytes(b"theirs")
    run("--endpoint", serve(EchoService(sends_masks="%" not in output)), "-sv", clip, "-o", tmp_path / output)

    assert [path.read_bytes() for path in theirs] == [b"theirs"] * 3


def test_a_folder_of_images_may_hold_the_names_of_temporary_files(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for level, name in enumerate(("a.png", "a.part.png", "a.part2.png"), 1):
        write_image(np.full((8, 8, 3), level, np.uint8), tmp_path / "given" / name)
    run("--endpoint", serve(EchoService()), "given", "-o", "made")

    made = {path.name: int(read_still(path).rgb[0, 0, 0]) for path in (tmp_path / "made").iterdir()}
    assert made == {"a.png": 1, "a.part.png": 2, "a.part2.png": 3}


def link_symbolically(clip: Path, name: Path) -> None:
    name.symlink_to(clip)


def link_hard(clip: Path, name: Path) -> None:
    name.hardlink_to(clip)


@WAYS
@pytest.mark.parametrize("link", [link_symbolically, link_hard])
def test_another_name_of_the_input_is_no_output(tmp_path: Path, way: list[str], link) -> None:
    clip, other = make_clip(tmp_path / "clip.mp4"), tmp_path / "other.mp4"
    link(clip, other)
    before = contents(tmp_path)

    assert "is the input itself" in run(*way, clip, "-o", other, code=2)
    assert contents(tmp_path) == before


def test_an_address_of_a_file_is_that_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    for given, made in ((f"file://{clip}", clip), (clip, f"file:{clip}")):
        assert "is the input itself" in run("-sv", given, "-o", made, code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.mp4", "a_blur.mp4"],
        ["a.mp4", "-o", "back.png", "--effect", "image", "--background", "back.png"],
        ["a.mp4", "--report", "a.mp4"],
        ["a.mp4", "nothing*.mp4", "--report", "a.mp4"],
        ["a*.mp4", "nothing*.mp4", "--report", "a_blur.mp4"],
        ["a.mp4", "--report", "token", "--token-file", "token"],
        ["a.mp4", "-o", "token", "--token-file", "token"],
        ["a.mp4", "--report", "config.toml", "--config", "config.toml"],
        ["frame_%d.png", "-o", "frame_%d.png"],
        ["frame_%02d.png", "-o", "frame_0%d.png"],
        ["sheet", "a.mp4", "a_blur.mp4", "back.png", "-o", "back.png"],
        ["bench", "a.mp4", "--json", "a.mp4"],
    ],
    ids=" ".join,
)
def test_what_a_run_reads_it_does_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(Path("a.mp4"))
    shutil.copy("a.mp4", "a_blur.mp4")
    Path("token").write_text("secret")
    Path("config.toml").write_text("strict = true\n")
    for name in ("back.png", "frame_1.png", "frame_01.png"):
        write_image(np.zeros((8, 8, 3), np.uint8), Path(name))
    before = contents(tmp_path)
    way = [] if arguments[0] in ("sheet", "bench") else ["-sv"]

    assert "is the input itself" in run(*arguments[: not way], *way, *arguments[not way :], code=2)
    assert contents(tmp_path) == before


def test_images_that_are_links_to_the_input_are_no_output(tmp_path: Path) -> None:
    given, made = tmp_path / "given", tmp_path / "given_blur"
    write_image(np.zeros((8, 8, 3), np.uint8), given / "a.png")
    made.mkdir()
    (made / "a.png").symlink_to(given / "a.png")

    assert "is the input itself" in run(given, code=2)


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (["a.mp4", "a.avi"], []),
        (["a.mp4", "a.mp4"], []),
        (["one/a.mp4", "two/a.mp4"], ["-o", "out/"]),
        (["a.mp4"], ["-o", "x.mp4", "--report", "x.mp4"]),
    ],
)
def test_two_results_never_have_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        make_clip(Path(name))

    assert "Two results would go to" in run("-sv", *names, *options, code=2)


@pytest.mark.parametrize("ignores", [True, False])
def test_names_that_differ_in_their_case_are_one_where_the_disk_takes_them_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignores: bool
) -> None:
    monkeypatch.setattr(output_checks, "_ignores_case", lambda place: ignores)
    written = [tmp_path / "a.mp4", tmp_path / "A.mp4"]
    if ignores:
        with pytest.raises(output_checks.click.UsageError, match="Two results"):
            output_checks.check_places([], written)
    else:
        output_checks.check_places([], written)


def test_this_disk_tells_cases_apart(tmp_path: Path) -> None:
    (tmp_path / "CASE").touch()
    assert output_checks._ignores_case(tmp_path / "x.mp4") == (tmp_path / "case").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--continue"], "done before"), (["--no-overwrite"], "exists; choose another")],
)
def test_numbered_images_that_are_there_are_there(tmp_path: Path, options: list[str], told: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    (tmp_path / "frame_0001.png").write_bytes(b"theirs")
    code = 0 if "--continue" in options else 2

    assert told in run("-sv", clip, "-o", tmp_path / "frame_%04d.png", *options, code=code)


def test_every_output_and_the_report_are_tried_before_the_work(serve, tmp_path: Path) -> None:
    clip, service = make_clip(tmp_path / "clip.mp4"), EchoService()
    (tmp_path / "file").touch()
    endpoint = serve(service)
    for arguments in (["--report", tmp_path / "file" / "r.json"], ["-o", tmp_path / "file" / "x.mp4"]):
        told = run("--endpoint", endpoint, "-sv", clip, *arguments, code=1)
        assert told.startswith("segclient: error: Cannot write ")
    assert service.kinds == []


def test_the_reports_folder_is_made(serve, tmp_path: Path) -> None:
    report = tmp_path / "new" / "folder" / "r.json"
    run("--endpoint", serve(EchoService()), "-sv", make_clip(tmp_path / "clip.mp4"), "--report", report)

    assert json.loads(report.read_text())["frames_out"] == len(CFR)
    assert list(report.parent.iterdir()) == [report]
