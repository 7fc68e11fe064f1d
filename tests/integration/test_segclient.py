"""The command `segclient` from end to end: a file in, a file out, and an honest exit code."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import av
import pytest
from raw_client import CLIPS
from segclient_process import PROGRAM
from segclient_runs import DONE, DROPPED, FAILED, UNREADABLE

from segtriton_client.report import Report
from segtriton_server.launch import LaunchSettings, TritonProcess

CARPHONE, BIKES, BUNNY = (CLIPS / name for name in ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4"))
REPORT_KEYS = {*(field.name for field in fields(Report)), "input", "outputs", "error"}

Segclient = Callable[..., subprocess.CompletedProcess[str]]


def command(address: str, *arguments: object) -> list[str]:
    return [*PROGRAM, "--endpoint", address, "--preset", "ultrafast", *map(str, arguments)]


@pytest.fixture
def segclient(server: TritonProcess) -> Segclient:
    def run(*arguments: object, address: str = "") -> subprocess.CompletedProcess[str]:
        line = command(address or server.grpc_address, *arguments)
        done = subprocess.run(line, capture_output=True, text=True, timeout=50, check=False)
        assert "Traceback" not in done.stderr
        return done

    return run


def frame_times(path: Path) -> list[Fraction]:
    """The exact times of all packets of the video, in presentation order."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        return sorted(packet.pts * packet.time_base for packet in container.demux(stream) if packet.size)


def audio_hash(path: Path) -> tuple[int, str]:
    with av.open(path) as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]
    return len(packets), hashlib.sha256(b"".join(packets)).hexdigest()


def num_decoded(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


# ------------------------------------------------------------------ streamed


@pytest.mark.parametrize("clip", [CARPHONE, BIKES, BUNNY], ids=lambda path: path.stem)
@pytest.mark.parametrize("encoder", ["h264", "mask"])
def test_a_streamed_clip_keeps_its_times_and_its_sound(
    segclient: Segclient, tmp_path: Path, clip: Path, encoder: str
) -> None:
    output, report_path = tmp_path / "out.mp4", tmp_path / "report.json"
    done = segclient("-sv", clip, "-o", output, "--report", report_path, "--encoder", encoder)
    assert done.returncode == DONE, done.stderr

    times = frame_times(clip)
    assert frame_times(output) == times
    assert num_decoded(output) == len(times)
    if clip is BUNNY:
        assert audio_hash(output) == audio_hash(clip)
    report = json.loads(report_path.read_text())
    assert report.keys() == REPORT_KEYS
    assert (report["frames_in"], report["frames_out"], report["frames_dropped"]) == (len(times), len(times), {})
    assert report["latency_ms"].keys() == {"p50", "p95", "p99"}
    assert report["network"] == "selfie"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"] == ["out.mp4"]


def test_the_output_lies_beside_the_input(segclient: Segclient, tmp_path: Path) -> None:
    clip = Path(shutil.copy(CARPHONE, tmp_path / "clip.mp4"))
    assert segclient("-sv", clip, "--effect", "overlay").returncode == DONE

    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "clip_overlay.mp4"]


# ------------------------------------------------------------------ non-streamed


def test_a_clip_in_batches_keeps_its_times(segclient: Segclient, tmp_path: Path) -> None:
    output, report_path = tmp_path / "out.mp4", tmp_path / "report.json"
    done = segclient(CARPHONE, "-b", 8, "-o", output, "--report", report_path)

    assert done.returncode == DONE, done.stderr
    assert frame_times(output) == frame_times(CARPHONE)
    report = json.loads(report_path.read_text())
    assert report.keys() == REPORT_KEYS
    assert report["frames_out"] == 120


def test_a_folder_of_images(segclient: Segclient, tmp_path: Path) -> None:
    images, output = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for clip in (CARPHONE, BIKES):
        with av.open(clip) as container:
            frame = next(container.decode(video=0))
        frame.save(images / f"{clip.stem}.png")
    done = segclient(images, "-o", output, "--effect", "mask")

    assert done.returncode == DONE, done.stderr
    assert len([path for path in output.rglob("*") if path.suffix == ".png"]) == 2


# ------------------------------------------------------------------ what cannot be done


def refused(done: subprocess.CompletedProcess[str], code: int, output: Path) -> str:
    """Check the exit code, that one line says why, and that no output lies about."""
    assert done.returncode == code, done.stdout + done.stderr
    assert not output.exists()
    assert [path for path in output.parent.iterdir() if output.stem in path.name] == []
    return done.stderr


@pytest.mark.parametrize("content", [b"", b"This is no video.\n" * 100], ids=["empty", "text"])
def test_a_file_that_is_no_video(segclient: Segclient, tmp_path: Path, content: bytes) -> None:
    clip, output = tmp_path / "clip.mp4", tmp_path / "result.mp4"
    clip.write_bytes(content)

    assert refused(segclient("-sv", clip, "-o", output), UNREADABLE, output)


def test_a_missing_file(segclient: Segclient, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"

    assert refused(segclient("-sv", tmp_path / "no.mp4", "-o", output), UNREADABLE, output)


def test_a_file_of_sound_only(segclient: Segclient, tmp_path: Path) -> None:
    clip, output = tmp_path / "clip.mp4", tmp_path / "result.mp4"
    with av.open(BUNNY) as source, av.open(clip, "w") as target:
        audio = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = audio
                target.mux(packet)

    assert refused(segclient("-sv", clip, "-o", output), UNREADABLE, output)


@pytest.mark.parametrize("part", [0.001, 0.2, 0.5, 0.9, 0.999])
def test_a_file_cut_anywhere_ends_typed_and_leaves_whole_files_only(
    segclient: Segclient, tmp_path: Path, part: float
) -> None:
    clip, output = tmp_path / "clip.mp4", tmp_path / "result.mp4"
    content = CARPHONE.read_bytes()
    clip.write_bytes(content[: int(part * len(content))])
    done = segclient("-sv", clip, "-o", output)

    assert done.returncode in (DONE, FAILED, UNREADABLE, DROPPED), done.stderr
    if output.exists():
        assert done.returncode in (DONE, DROPPED)
        assert num_decoded(output) > 0
    else:
        refused(done, done.returncode, output)


def test_an_unknown_class_gets_the_list(segclient: Segclient, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"

    assert "background, person" in refused(segclient("-sv", CARPHONE, "-o", output, "-c", "unicorn"), FAILED, output)


def test_a_server_that_is_not_there(segclient: Segclient, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"

    assert refused(segclient("-sv", CARPHONE, "-o", output, address="127.0.0.1:1"), FAILED, output)


def test_a_server_that_goes_away_in_the_middle(server_settings: Callable[..., LaunchSettings], tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"
    with TritonProcess(server_settings(workers=1)) as server:
        line = command(server.grpc_address, "-sv", "--live", "--resume-seconds", "1", BIKES, "-o", output)
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            time.sleep(2.5)
            assert client.poll() is None
            os.kill(server.pid, signal.SIGKILL)
            stdout, stderr = client.communicate(timeout=40)

    assert "Traceback" not in stderr
    refused(subprocess.CompletedProcess(line, client.returncode, stdout, stderr), FAILED, output)
