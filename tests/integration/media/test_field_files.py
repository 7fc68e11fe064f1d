"""Files of the field: their names, what they are, what is beside them; through the real command and a real Triton."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import av
import pytest
from checker import check_same, read_content
from numbered_clips import FRAMES, Recipe
from segclient_runs import FAILED, UNREADABLE, line, run, succeed

from segtriton_server.launch import TritonProcess

pytestmark = pytest.mark.whole

WAYS = pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])


def count_pictures(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


# ------------------------------------------------------------------ what was there before


@WAYS
def test_an_input_with_the_name_of_a_temporary_file_survives(
    server: TritonProcess, tmp_path: Path, way: list[str]
) -> None:
    given = Recipe(audio_tracks=1).write(tmp_path).rename(tmp_path / "x.part.mp4")
    before = given.read_bytes()
    succeed(server, *way, given, "-o", tmp_path / "x.mp4")

    assert given.read_bytes() == before
    assert count_pictures(tmp_path / "x.mp4") == FRAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mp4", "x.part.mp4"]


@WAYS
@pytest.mark.parametrize("target", ["there.mp4", "missing.mp4"])
def test_a_link_is_written_through(server: TritonProcess, tmp_path: Path, way: list[str], target: str) -> None:
    given, link, away = Recipe().write(tmp_path), tmp_path / "link.mp4", tmp_path / "away"
    away.mkdir()
    (away / "there.mp4").write_bytes(b"before")
    link.symlink_to(away / target)
    succeed(server, *way, given, "-o", link)

    assert link.is_symlink()
    assert count_pictures(away / target) == FRAMES


# ------------------------------------------------------------------ what is no file


@pytest.mark.parametrize("ending", ["mkv", "ts"])
def test_a_process_is_read_and_written(server: TritonProcess, tmp_path: Path, ending: str) -> None:
    given, made = Recipe(ending=ending, audio_tracks=1).write(tmp_path), tmp_path / "made.mp4"
    script = 'exec "${@:3}" -sv <(cat "$1") -o >(cat > "$2"; : > "$2.done")'
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(given), str(made), *line(server)],
        capture_output=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    wait_for(made.with_suffix(".mp4.done"))
    assert read_content(made).numbers == list(range(FRAMES))


def wait_for(path: Path) -> None:
    """Wait for what another process writes when it is done."""
    while not path.exists():  # the test's own time limit ends it
        time.sleep(0.02)


@WAYS
def test_a_device_is_written_and_stays_one(server: TritonProcess, tmp_path: Path, way: list[str]) -> None:
    said = succeed(server, *way, Recipe().write(tmp_path), "-o", "/dev/null").stderr.decode()

    assert f"{FRAMES} frames" in said
    assert Path("/dev/null").is_char_device()


# ------------------------------------------------------------------ names


@WAYS
@pytest.mark.parametrize("name", ["clip:1.mp4", "rtsp:foo.mp4", "100%.mp4", "frame_%04d.mp4", "[1].mp4", "-w.mp4"])
def test_what_is_there_is_that_file(
    server: TritonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: list[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Recipe().write(tmp_path).rename(name)
    succeed(server, *way, name, "-o", "made.mp4")
    Path(name).rename("given.mp4")
    Path(name).touch()
    succeed(server, *way, "given.mp4", "-o", name)

    assert count_pictures(tmp_path / "made.mp4") == count_pictures(tmp_path / name) == FRAMES
    if way:
        check_same(tmp_path / "given.mp4", tmp_path / name)


# ------------------------------------------------------------------ what is encrypted


@WAYS
def test_encrypted_video_is_told_by_its_name(server: TritonProcess, tmp_path: Path, way: list[str]) -> None:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb"}
    options = {**key, "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}
    given = Recipe(container_options=options).write(tmp_path)
    done = run(server, *way, given, "-o", tmp_path / "made.mp4")

    assert done.returncode == UNREADABLE
    assert b"is encrypted." in done.stderr
    assert list(tmp_path.iterdir()) == [given]


# ------------------------------------------------------------------ what is said of it


def test_the_report_of_a_refusal(server: TritonProcess, tmp_path: Path) -> None:
    given, report = Recipe().write(tmp_path), tmp_path / "new" / "report.json"
    done = run(server, "-sv", given, "-c", "zebra", "-o", tmp_path / "made.mp4", "--report", report)

    error = json.loads(report.read_text())["error"]
    assert done.returncode == FAILED
    assert (error["code"], error["frames_done"], error["kept"]) == ("UNKNOWN_CLASS", 0, [])
    assert not (tmp_path / "made.mp4").exists()


def test_a_terminal_that_is_closed_leaves_what_plays(server: TritonProcess, tmp_path: Path) -> None:
    given = Recipe(stamps=tuple(range(0, 500 * 512, 512)), options={"bf": "0"}).write(tmp_path)
    made, report = tmp_path / "made.mp4", tmp_path / "report.json"
    arguments = ("-sv", "--live", given, "-o", made, "--report", report)
    with subprocess.Popen(line(server, *arguments), stderr=subprocess.PIPE) as client:
        part = tmp_path / "made.part.mp4"
        while not (part.exists() and part.stat().st_size):
            time.sleep(0.02)
        client.send_signal(signal.SIGHUP)
        client.communicate(timeout=30)

    error = json.loads(report.read_text())["error"]
    assert (client.returncode, error["code"], error["kept"]) == (130, "STOPPED", [str(part)])
    assert 0 < len(read_content(part).pictures) == error["frames_done"] < 500
    assert not made.exists()
