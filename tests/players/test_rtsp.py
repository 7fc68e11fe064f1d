"""Cameras and servers of RTSP and RTMP: from a real one, to a real one, and through its restart."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from checker import read_content, read_numbers
from numbered_clips import RATE, Recipe
from process_tree import wait_until
from segclient_runs import DONE, line, succeed
from servers import metrics_of

from segtriton_server.launch import TritonProcess

FRAMES = 50
CAMERA = (
    "/camera=play:videotestsrc is-live=true ! video/x-raw,width=192,height=128,framerate=25/1 ! "
    "x264enc tune=zerolatency key-int-max=12 ! rtph264pay name=pay0 config-interval=1"
)


@contextmanager
def rtsp_server(*mounts: str, port: int = 0) -> Iterator[tuple[str, int]]:
    """Run a server; gives its address and port."""
    program = ["/usr/bin/python3", str(Path(__file__).with_name("rtsp_server.py")), str(port), *mounts]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            bound = int(process.stdout.readline())
            yield f"rtsp://127.0.0.1:{bound}", bound
        finally:
            process.kill()


def test_a_clip_from_an_rtsp_server(server: TritonProcess, tmp_path: Path) -> None:
    stamps = tuple(range(0, FRAMES * 40, 40))
    given = Recipe(ending="mkv", stamps=stamps, time_base=Fraction(1, 1000), options={"bf": "0"}).write(tmp_path)
    made = tmp_path / "made.mkv"
    pipeline = f"filesrc location={given} ! matroskademux ! h264parse ! rtph264pay name=pay0 config-interval=-1"
    with rtsp_server(f"/clip=play:{pipeline}") as (address, _):
        succeed(server, "-sv", f"{address}/clip", "-o", made)

    after = read_content(made)
    assert after.numbers == list(range(FRAMES))
    assert {b - a for a, b in pairwise(after.times)} == {1 / RATE}


def test_a_live_camera_for_a_while(server: TritonProcess, tmp_path: Path) -> None:
    made = tmp_path / "made.mp4"
    with rtsp_server(CAMERA) as (address, _):
        succeed(server, "-sv", "--live", f"{address}/camera", "--duration", "2", "-o", made)

    assert len(read_content(made).pictures) == pytest.approx(50, abs=13)


def num_frames(server: TritonProcess) -> float:
    """How many frames the server has given back so far."""
    return metrics_of(server).get('segtriton_frames_total{outcome="out"}', 0)


def test_a_camera_that_restarts_is_found_again(server: TritonProcess, tmp_path: Path) -> None:
    made = tmp_path / "made.mp4"
    with rtsp_server(CAMERA) as (address, port):
        arguments = ("-sv", "--live", f"{address}/camera", "--duration", "8", "--reconnect-seconds", "30", "-o", made)
        before = num_frames(server)
        client = subprocess.Popen(line(server, *arguments), stderr=subprocess.PIPE, text=True)
        assert wait_until(lambda: num_frames(server) > before + FRAMES)
    time.sleep(1)
    with rtsp_server(CAMERA, port=port):
        _, said = client.communicate(timeout=50)

    assert client.returncode == DONE, said
    assert "was lost and found again, 1 times" in said
    times = read_content(made).times
    assert times == sorted(set(times))
    gaps = [b - a for a, b in pairwise(times)]
    assert max(gaps) > Fraction(1, 2)  # the time without a picture is in the output, too
    assert times[-1] - times[0] > 6


def test_the_result_goes_to_an_rtsp_server(server: TritonProcess, tmp_path: Path) -> None:
    given, stored = Recipe(stamps=tuple(range(0, FRAMES * 512, 512))).write(tmp_path), tmp_path / "stored.ts"
    pipeline = f"rtph264depay name=depay0 ! h264parse ! mpegtsmux ! filesink location={stored}"
    with rtsp_server(f"/in=record:{pipeline}") as (address, _):
        succeed(server, "-sv", "--live", given, "-o", f"{address}/in")
        # The server writes the last pictures when its client has left.
        assert wait_until(lambda: len(numbers_so_far(stored)) >= FRAMES - 2), numbers_so_far(stored)

    numbers = read_numbers(stored)
    assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(numbers)))


def numbers_so_far(path: Path) -> list[int | None]:
    """The numbers in a file that is still written."""
    try:
        return read_numbers(path)
    except av.error.FFmpegError:
        return []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody waits for a connection, without being one."""
    return f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


def test_the_result_goes_to_an_rtmp_server(server: TritonProcess, tmp_path: Path) -> None:
    given, stored = Recipe(audio_tracks=1).write(tmp_path), tmp_path / "stored.mkv"
    port = free_port()
    address = f"rtmp://127.0.0.1:{port}/live/clip"
    # ffmpeg is the server: it listens, and stores what is pushed.
    words = ["ffmpeg", "-v", "error", "-listen", "1", "-i", address, "-map", "0", "-c", "copy", str(stored)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as storing:
        try:
            assert wait_until(lambda: listens(port))
            succeed(server, "-sv", given, "-o", address)
            _, said = storing.communicate(timeout=20)
        finally:
            storing.kill()

    assert storing.returncode == 0, said
    assert read_numbers(stored) == read_numbers(given)
