"""The client in JavaScript, written from the protocol's page, against the Python client, frame for frame."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segtriton_client import segment_file
from segtriton_protocol import OutputSpec
from segtriton_server.launch import LaunchSettings, TritonProcess

ROOT = Path(__file__).parents[2]
CLIP = ROOT / ".assets" / "clips" / "carphone_pristine.mp4"
PROGRAM = ROOT / "examples" / "node" / "segment.mjs"
TIME_BASE = Fraction(1, 1000)  # what Matroska has, in which the Python client writes
ENCODERS = {
    "libvpx": {"g": "30", "deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"g": "30", "deadline": "realtime", "cpu-used": "8"},
}

HIDDEN = (7, 50)  # of VP8's clip

Shown = list[tuple[Fraction, np.ndarray]]


@pytest.fixture(scope="session", params=ENCODERS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real clip at a rate that varies; VP8's has pictures that are never shown."""
    path = tmp_path_factory.mktemp("clips") / f"{request.param}.ivf"
    with av.open(CLIP) as source, av.open(path, "w") as target:
        stream = target.add_stream(request.param, rate=30, options=ENCODERS[request.param])
        stream.width, stream.height = source.streams.video[0].width, source.streams.video[0].height
        stream.codec_context.time_base = TIME_BASE
        for number, frame in enumerate(source.decode(video=0)):
            frame.pts, frame.time_base, frame.pict_type = 33 * number + number % 7, TIME_BASE, 0
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    if request.param == "libvpx":
        hide(path)
    return path


def hide(path: Path) -> None:
    """Make some of VP8's pictures such as are decoded and not shown (RFC 6386, 9.1: bit 4 is show_frame)."""
    content, at = bytearray(path.read_bytes()), 32
    for number in range(max(HIDDEN) + 1):
        if number in HIDDEN:
            content[at + 12] &= ~0x10
        at += 12 + int.from_bytes(content[at : at + 4], "little")
    path.write_bytes(content)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    line = ["node", str(PROGRAM), *map(str, arguments)]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=50, check=False, env={**os.environ, **environment}
    )


def shown(path: Path) -> Shown:
    """Each picture with its time."""
    with av.open(path) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray()) for frame in container.decode(video=0)]


def same(given: Shown, wanted: Shown) -> bool:
    return len(given) == len(wanted) and all(
        time == other_time and np.array_equal(picture, other)
        for (time, picture), (other_time, other) in zip(given, wanted, strict=True)
    )


def both(address: str, clip: Path, folder: Path, output: OutputSpec) -> tuple[Path, Path]:
    """What the two clients make of a clip."""
    report = segment_file(address, clip, folder / "python.mkv", output)
    made = folder / "node"
    done = run(address, clip, made, json.dumps({"effect": output.effect, "encoder": output.encoder}))
    assert done.returncode == 0, done.stderr
    dropped = len(HIDDEN) if clip.stem == "libvpx" else 0
    assert (report.frames_out, report.frames_dropped) == (120 - dropped, {"hidden": dropped} if dropped else {})
    assert done.stdout.startswith(f"{120 - dropped} frames, {dropped} dropped, ")
    return folder / "python.mkv", made


@pytest.mark.parametrize("output", [OutputSpec(), OutputSpec(effect="overlay", encoder="mjpeg")])
def test_each_frame_is_the_python_clients(
    small_server: TritonProcess, tmp_path: Path, clip: Path, output: OutputSpec
) -> None:
    # Its window is far smaller than the clip.
    wanted, made = both(small_server.grpc_address, clip, tmp_path, output)

    assert same(shown(made), shown(wanted))


def test_each_mask_is_the_python_clients(small_server: TritonProcess, tmp_path: Path, clip: Path) -> None:
    wanted, made = both(small_server.grpc_address, clip, tmp_path, OutputSpec(encoder="mask"))
    stamps = [int(pts) * TIME_BASE for pts in re.findall(rb"^# pts (\d+)$", made.read_bytes(), re.MULTILINE)]
    with av.open(made, format="pgm_pipe") as container:
        masks = [frame.to_ndarray() for frame in container.decode(video=0)]
    with av.open(wanted) as container:
        expected = [
            (frame.pts * frame.time_base, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)
        ]

    assert same(list(zip(stamps, masks, strict=True)), expected)


def test_the_servers_error_is_told_with_its_advice(server: TritonProcess, tmp_path: Path, clip: Path) -> None:
    done = run(server.grpc_address, clip, tmp_path / "out.ivf", '{"class_name": "unicorn"}')

    assert done.returncode == 1
    assert done.stderr.startswith("UNKNOWN_CLASS: ")
    assert "Choose one of the class names in the message." in done.stderr
    assert not (tmp_path / "out.ivf").exists()


def test_an_error_in_the_middle_ends_it_too(server: TritonProcess, tmp_path: Path, clip: Path) -> None:
    content = bytearray(clip.read_bytes())
    first = 32 + 12
    content[first : first + 3] = b"\xff\xff\xff"  # no keyframe any more
    damaged = tmp_path / "damaged.ivf"
    damaged.write_bytes(content)
    done = run(server.grpc_address, damaged, tmp_path / "out.ivf")

    assert (done.returncode, done.stderr.split(":")[0]) == (1, "NEED_KEYFRAME")


@pytest.mark.parametrize(("token", "said"), [("secret", ""), ("wrong", "UNAUTHENTICATED"), ("", "UNAUTHENTICATED")])
def test_the_token(guarded: TritonProcess, tmp_path: Path, clip: Path, token: str, said: str) -> None:
    done = run(guarded.grpc_address, clip, tmp_path / "out.ivf", SEGTRITON_TOKEN=token)

    assert done.returncode == bool(said)
    assert done.stderr.split(":")[0].strip() == said


@pytest.fixture(scope="session")
def guarded(server_settings: Callable[..., LaunchSettings], tmp_path_factory: pytest.TempPathFactory) -> TritonProcess:
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text("secret\n")
    with TritonProcess(server_settings(workers=1, token_file=file)) as running:
        yield running


def test_without_a_server_or_an_input_it_says_so(tmp_path: Path, clip: Path) -> None:
    nobody, no_video = (run("127.0.0.1:1", given, tmp_path / "out.ivf") for given in (clip, PROGRAM))

    assert (nobody.returncode, no_video.returncode) == (1, 1)
    assert "ECONNREFUSED" in nobody.stderr
    assert "is no IVF file with VP8 or VP9" in no_video.stderr
