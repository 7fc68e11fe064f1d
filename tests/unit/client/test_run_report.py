"""What `--report` says of runs that fail, for programs that start segclient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from client_clips import CFR, frame_times, make_clip, slow_clip
from echo_service import EchoService, packets_at
from segclient_process import interrupt, run

ERROR_KEYS = ["code", "message", "advice", "frames_done", "kept"]


def read(report: Path) -> Any:
    return json.loads(report.read_text())


@pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
@pytest.mark.parametrize(
    ("given", "made", "exit_code", "code", "message"),
    [
        ("nothing.mp4", "made.mp4", 3, "INPUT", "Cannot read"),
        ("clip.mp4", "made.xyz", 1, "OUTPUT", "is of no known kind"),
        ("clip.mp4", "clip.mp4/made.mp4", 1, "OUTPUT", "Not a directory"),
    ],
)
def test_what_the_client_found(
    serve, tmp_path: Path, way: list[str], given: str, made: str, exit_code: int, code: str, message: str
) -> None:
    make_clip(tmp_path / "clip.mp4")
    report = tmp_path / "r.json"
    arguments = [tmp_path / given, "-o", tmp_path / made, "--report", report]
    told = run("--endpoint", serve(EchoService()), *way, *arguments, code=exit_code)

    error = read(report)["error"]
    assert list(error) == ERROR_KEYS
    assert (error["code"], error["frames_done"], error["kept"]) == (code, 0, [])
    assert message in error["message"]
    assert f"{error['message']} {error['advice']}" in told


def test_what_the_service_reported_and_what_came_back_until_then(serve, tmp_path: Path) -> None:
    clip, report = make_clip(tmp_path / "clip.mp4", range(0, 60 * 512, 512), b_frames=0), tmp_path / "r.json"
    options = ["--resume-seconds", 0, "--report", report]
    run("--endpoint", serve(EchoService(fail_after=20)), "-sv", clip, *options, code=1)

    found = read(report)
    assert list(found) == ["input", "outputs", "error"]
    assert (found["input"], found["outputs"]) == (str(clip), [str(tmp_path / "clip_blur.mp4")])
    # The service's answer and the end of its stream come at once: either may be met first.
    advice = {"WORKER_LOST": "Open a new session", "LOST": "Run the command again"}
    assert found["error"]["advice"].startswith(advice[found["error"]["code"]])
    assert 0 < found["error"]["frames_done"] < 60


def test_nobody_at_the_endpoint(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    run("--endpoint", "127.0.0.1:1", "-sv", make_clip(tmp_path / "clip.mp4"), "--report", report, code=1)

    assert read(report)["error"]["code"] == "UNAVAILABLE"


def test_each_of_several_inputs_is_there_in_their_order(serve, tmp_path: Path) -> None:
    clips = [tmp_path / "no.mp4", make_clip(tmp_path / "a.mp4"), tmp_path / "neither.mp4"]
    report = tmp_path / "r.json"
    options = ["-o", f"{tmp_path}/made/", "--report", report, "--jobs", "2"]
    run("--endpoint", serve(EchoService()), "-sv", *clips, *options, code=3)

    found = read(report)
    assert [entry["input"] for entry in found] == list(map(str, clips))
    assert [entry["error"] and entry["error"]["code"] for entry in found] == ["INPUT", None, "INPUT"]
    assert found[1]["frames_out"] == len(CFR)


def test_what_keeps_a_run_from_its_beginning(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    run("-sv", tmp_path / "*.mp4", "--report", report, code=3)

    found = read(report)
    assert (found["input"], found["outputs"], found["error"]["code"]) == (None, [], "INPUT")


def test_what_an_interrupted_run_has_kept(serve, tmp_path: Path) -> None:
    service, report = EchoService(), tmp_path / "r.json"
    (tmp_path / "a_blur.part.mp4").write_bytes(b"theirs")
    arguments = ["--live", slow_clip(tmp_path / "a.mp4"), "--report", report]
    code, told = interrupt(packets_at(service), serve(service), *arguments)

    error = read(report)["error"]
    assert (code, error["code"], error["kept"]) == (130, "STOPPED", [str(tmp_path / "a_blur.part2.mp4")])
    assert len(frame_times(tmp_path / "a_blur.part2.mp4")) == error["frames_done"]
    assert f"What came back is in {tmp_path}/a_blur.part2.mp4." in told
    assert (tmp_path / "a_blur.part.mp4").read_bytes() == b"theirs"
