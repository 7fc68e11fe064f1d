"""Where videos come from and where results go: every way in and out, through the real command."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from checker import check_same, read_content
from numbered_clips import FRAMES, Recipe, numbered_frame
from segclient_runs import DROPPED, UNREADABLE, line, run, succeed

from segtriton_server.launch import TritonProcess

# ------------------------------------------------------------------ sources


@pytest.mark.parametrize("ending", ["ts", "mkv", "mp4"])
def test_standard_input(server: TritonProcess, tmp_path: Path, ending: str) -> None:
    first = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if ending == "mp4" else {}
    given = Recipe(ending=ending, container_options=first, rotation=90 if ending == "mp4" else 0).write(tmp_path)
    made = tmp_path / f"made.{ending}"
    succeed(server, "-sv", "-", "-o", made, stdin=given.read_bytes())

    check_same(given, made)


def test_a_web_address(server: TritonProcess, tmp_path: Path, web: str) -> None:
    given = Recipe(audio_tracks=1).write(tmp_path)
    succeed(server, "-sv", f"{web}/{given.name}", "-o", tmp_path / "made.mp4")

    check_same(given, tmp_path / "made.mp4")


@pytest.mark.whole
def test_a_web_address_with_nothing_behind_it(server: TritonProcess, tmp_path: Path, web: str) -> None:
    done = run(server, "-sv", f"{web}/nothing.mp4", "-o", tmp_path / "made.mp4")

    assert done.returncode == UNREADABLE
    assert list(tmp_path.iterdir()) == []


def test_a_camera_by_its_device_name(server: TritonProcess, tmp_path: Path) -> None:
    device = f"lavfi:testsrc2=size=192x128:rate=25:duration={FRAMES / 25}"
    said = succeed(server, "-sv", device, "-o", tmp_path / "made.mp4").stderr.decode()

    content = read_content(tmp_path / "made.mp4")
    assert len(content.pictures) == FRAMES
    assert content.times == [Fraction(number, 25) for number in range(FRAMES)]
    assert "coded as H.264 for the way to the server" in said


@pytest.mark.whole
def test_a_duration_ends_an_endless_source(server: TritonProcess, tmp_path: Path) -> None:
    succeed(server, "-sv", "lavfi:testsrc2=size=64x64:rate=25", "--duration", "0.6", "-o", tmp_path / "made.mp4")

    assert len(read_content(tmp_path / "made.mp4").pictures) == 15


def write_images(folder: Path) -> None:
    folder.mkdir()
    for number in range(FRAMES):
        numbered_frame(number, (192, 128), "yuv420p").save(folder / f"frame_{number:03}.png")


@pytest.mark.whole
def test_numbered_images(server: TritonProcess, tmp_path: Path) -> None:
    write_images(tmp_path / "given")
    succeed(server, "-sv", tmp_path / "given" / "frame_%03d.png", "-o", tmp_path / "made.mp4")

    assert read_content(tmp_path / "made.mp4").numbers == list(range(FRAMES))


# ------------------------------------------------------------------ many inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three clips and a text."""
    clips = tmp_path / "clips"
    clips.mkdir()
    given = Recipe().write(tmp_path)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        shutil.copy(given, clips / name)
    (clips / "notes.txt").write_text("no video")
    return clips


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir())


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_folder(server: TritonProcess, folder: Path, tmp_path: Path, jobs: int) -> None:
    succeed(server, "-sv", folder, "-o", tmp_path / "made", "--jobs", jobs)

    assert names(tmp_path / "made") == ["a_blur.mp4", "b_blur.mp4", "c_blur.mp4"]
    for made in (tmp_path / "made").iterdir():
        check_same(folder / "a.mp4", made)


@pytest.mark.whole
def test_a_pattern(server: TritonProcess, folder: Path, tmp_path: Path) -> None:
    succeed(server, "-sv", folder / "[ab].mp4", "-o", tmp_path / "made")

    assert names(tmp_path / "made") == ["a_blur.mp4", "b_blur.mp4"]


def test_a_pattern_that_matches_nothing(server: TritonProcess, folder: Path) -> None:
    assert run(server, "-sv", folder / "*.mkv").returncode == UNREADABLE


def test_a_run_goes_on_where_an_earlier_one_stopped(server: TritonProcess, folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "a_blur.mp4").write_bytes(b"made before")
    said = succeed(server, "-sv", folder, "-o", made, "--continue").stderr.decode()

    assert (made / "a_blur.mp4").read_bytes() == b"made before"
    assert "done before" in said
    assert names(made) == ["a_blur.mp4", "b_blur.mp4", "c_blur.mp4"]


def test_a_folder_that_was_interrupted_goes_on(server: TritonProcess, folder: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    first = made / "a_blur.mp4"
    with subprocess.Popen(line(server, "-sv", "--live", folder, "-o", made), stderr=subprocess.PIPE) as client:
        wait_for(first.exists)
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=20)
    assert client.returncode == 130
    assert not (made / "c_blur.mp4").exists()
    finished = first.stat()
    succeed(server, "-sv", folder, "-o", made, "--continue")

    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (finished.st_ino, finished.st_mtime_ns)
    finished_names = [name for name in names(made) if ".part" not in name]  # what was interrupted is left
    assert finished_names == ["a_blur.mp4", "b_blur.mp4", "c_blur.mp4"]
    for name in finished_names:
        check_same(folder / "a.mp4", made / name)


def test_one_bad_clip_does_not_keep_the_others(server: TritonProcess, folder: Path, tmp_path: Path) -> None:
    (folder / "b.mp4").write_bytes(b"broken")
    done = run(server, "-sv", folder, "-o", tmp_path / "made", "--jobs", 2)

    assert done.returncode == UNREADABLE
    assert b"b.mp4" in done.stderr
    assert names(tmp_path / "made") == ["a_blur.mp4", "c_blur.mp4"]


# ------------------------------------------------------------------ sinks


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts"])
def test_every_container(server: TritonProcess, tmp_path: Path, ending: str) -> None:
    given = Recipe(audio_tracks=1, sample_aspect=Fraction(4, 3)).write(tmp_path)
    succeed(server, "-sv", given, "-o", tmp_path / f"made.{ending}")

    before, after = read_content(given), read_content(tmp_path / f"made.{ending}")
    assert after.numbers == before.numbers
    assert after.sample_aspect == before.sample_aspect
    shift = after.times[0] - before.times[0]
    assert max(abs(b - a - shift) for a, b in zip(before.times, after.times, strict=True)) * 2 <= after.tick


def test_webm_is_drawn_and_coded_here(server: TritonProcess, tmp_path: Path) -> None:
    given = Recipe("h264", "mkv", sample_aspect=Fraction(4, 3)).write(tmp_path)
    report = tmp_path / "report.json"
    succeed(server, "-sv", given, "-o", tmp_path / "made.webm", "--report", report)

    before, after = read_content(given), read_content(tmp_path / "made.webm")
    assert (after.numbers, after.times) == (before.numbers, before.times)
    with av.open(str(tmp_path / "made.webm")) as made:
        assert made.streams.video[0].codec_context.codec.canonical_name == "vp9"
    assert "cannot say that its samples are 4/3 as wide as high" in report.read_text()


def test_standard_output_is_a_fragmented_mp4(server: TritonProcess, tmp_path: Path) -> None:
    given = Recipe(audio_tracks=1, stamps=tuple(range(0, 40 * 512, 512))).write(tmp_path)
    done = succeed(server, "-sv", given, "-o", "-")
    (tmp_path / "made.mp4").write_bytes(done.stdout)

    assert done.stdout.count(b"moof") > 1
    check_same(given, tmp_path / "made.mp4")


def test_numbered_images_out(server: TritonProcess, tmp_path: Path) -> None:
    given = Recipe().write(tmp_path)
    (tmp_path / "made").mkdir()
    succeed(server, "-sv", given, "-o", tmp_path / "made" / "%02d.png")

    assert names(tmp_path / "made") == [f"{number:02}.png" for number in range(1, FRAMES + 1)]
    with av.open(str(tmp_path / "made" / "%02d.png"), format="image2") as images:
        assert len(list(images.decode(video=0))) == FRAMES


@pytest.mark.whole
def test_an_interrupted_run_leaves_what_plays(server: TritonProcess, tmp_path: Path) -> None:
    # Without B-frames: the last picture that is sent would else be shown after some that are not.
    given = Recipe(size=(640, 368), stamps=tuple(range(0, 250 * 512, 512)), options={"bf": "0"}).write(tmp_path)
    made = tmp_path / "made.mp4"
    part = tmp_path / "made.part.mp4"
    with subprocess.Popen(line(server, "-sv", "--live", given, "-o", made), stderr=subprocess.PIPE) as client:
        wait_for(part.exists)
        time.sleep(2)
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=20)

    assert client.returncode == 130, said.decode()
    assert b"--continue" in said
    assert not made.exists()
    numbers = read_content(part).numbers
    assert 0 < len(numbers) < 250
    assert numbers == [number % 256 for number in range(len(numbers))]


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


# ------------------------------------------------------------------ live


def test_a_live_run_that_keeps_up_drops_nothing(server: TritonProcess, tmp_path: Path) -> None:
    given = Recipe().write(tmp_path)
    succeed(server, "-sv", "--live", given, "-o", tmp_path / "made.mp4")

    check_same(given, tmp_path / "made.mp4")


@pytest.mark.whole
def test_what_grows_stale_while_the_server_stands_still_is_dropped_and_counted(
    server_settings: Callable[..., object], tmp_path: Path
) -> None:
    given = Recipe(stamps=tuple(range(0, 250 * 512, 512)), options={"bf": "0"}).write(tmp_path)
    made = tmp_path / "made.mp4"
    with TritonProcess(server_settings(workers=1, window_packets=8, stage_deadline=60)) as server:
        (worker,) = workers_of(server.pid)
        arguments = ("-sv", "--live", "--max-latency", "0.3", given, "-o", made)
        with subprocess.Popen(line(server, *arguments), stderr=subprocess.PIPE) as client:
            time.sleep(2)
            os.kill(worker, signal.SIGSTOP)
            time.sleep(3)
            os.kill(worker, signal.SIGCONT)
            _, said = client.communicate(timeout=40)

    assert client.returncode == DROPPED, said.decode()
    numbers = read_content(made).numbers
    assert numbers == sorted(numbers)
    assert 20 < len(numbers) < 250
    assert f"{250 - len(numbers)} dropped".encode() in said


def workers_of(pid: int) -> list[int]:
    """The worker processes below a server."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and b"worker_process" in read_bytes(process / "cmdline"):
            ancestor = int(process.name)
            while ancestor > 1 and ancestor != pid:
                ancestor = int(read_bytes(Path(f"/proc/{ancestor}/stat")).rsplit(b")", 1)[-1].split()[1] or 0)
            found += [int(process.name)] * (ancestor == pid)
    return found


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
