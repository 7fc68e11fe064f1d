"""What the command makes of its options."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from client_clips import make_clip
from segclient_process import run

from segtriton_client import cli, runs
from segtriton_client.job import Job
from segtriton_client.report import Report
from segtriton_protocol import MatteSpec

REPORT = Report(
    3, 3, {}, 1.0, 3.0, {"p50": 1.0, "p95": 1.0, "p99": 1.0}, "", 0, "selfie", "d", "e", "h264", "yuv420p", "s"
)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object, Job]]:
    """Record what would be done instead of doing it."""
    seen: list[tuple[str, object, Job]] = []

    def stand_in(kind: str):
        async def work(endpoint: object, job: Job) -> Report:
            seen.append((kind, endpoint, job))
            return REPORT

        return work

    monkeypatch.setattr(runs, "segment_video", stand_in("streamed"))
    monkeypatch.setattr(runs, "segment_frames", stand_in("frames"))
    return seen


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.segclient, list(arguments), env=env, auto_envvar_prefix="SEGCLIENT")


@pytest.mark.parametrize(
    ("arguments", "attribute", "value"),
    [
        (["-b", "7"], "batch_size", 7),
        (["--network", "fcn_resnet101"], "network", "fcn_resnet101"),
        (["-sv", "--live"], "live", True),
        (["-o", "x.mkv"], "output", Path("x.mkv")),
        (["--encoder", "mask"], "output", Path("clip_mask.mp4")),
        (["--effect", "overlay"], "output", Path("clip_overlay.mp4")),
        (["-c", "person"], "spec.class_name", "person"),
        (["-c", "person", "-c", "dog"], "spec.class_name", "person,dog"),
        (["--effect", "color"], "spec.effect", "color"),
        (["--strength", "0.25"], "spec.strength", 0.25),
        (["--color", "1,2,3"], "spec.color_rgb", (1, 2, 3)),
        (["--color", "#0a0B0c"], "spec.color_rgb", (10, 11, 12)),
        (["--encoder", "mjpeg"], "spec.encoder", "mjpeg"),
        (["--preset", "veryfast"], "spec.preset", "veryfast"),
        (["--crf", "30"], "spec.crf", 30),
        (["--pix-fmt", "yuv420p"], "spec.pixel_format", "yuv420p"),
        ([], "spec.pixel_format", "keep"),
        (["--no-deinterlace"], "spec.deinterlace", False),
        (["--strict"], "strict", True),
        (["--duration", "2.5"], "duration", 2.5),
        (["-sv", "--live", "--max-latency", "0.2"], "max_latency", 0.2),
        (["--reconnect-seconds", "9"], "reconnect_seconds", 9),
        (["-sv", "--smooth", "0.5"], "spec.matte.smoothing", 0.5),
        (["-sv"], "spec.matte", MatteSpec()),
        (["-sv", "--live"], "spec.matte", MatteSpec()),
        (["-sv", "--live", "--mirror"], "spec.matte.mirror", True),
        (["-sv", "--no-mirror"], "spec.matte.mirror", False),
        (["-sv", "--smooth", "0", "--refine-edges", "0", "--no-mirror"], "spec.matte", MatteSpec.untreated()),
        (["-sv", "--invert"], "spec.matte.inverted", True),
        (["-sv", "--effect", "cutout"], "output", Path("clip_cutout.webm")),
        ([], "output", Path("clip_blur.mp4")),
        ([], "spec.color_rgb", (0, 177, 64)),
    ],
)
def test_option_reaches_the_job(jobs, arguments, attribute, value) -> None:
    result = invoke(*arguments, "clip.mp4")
    assert result.exit_code == 0, result.output
    found: object = jobs[0][2]
    for name in attribute.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("name", "output"),
    [("a.webm", "a_blur.mkv"), ("a.avi", "a_blur.mp4"), ("a.MOV", "a_blur.MOV"), ("a.png", "a_blur.png")],
)
def test_default_output_can_hold_the_result(jobs, name, output) -> None:
    invoke(name)
    assert jobs[0][2].output == Path(output)


def test_the_files_of_tls_reach_the_endpoint(jobs, tmp_path) -> None:
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    for path in files.values():
        path.touch()
    invoke("--ca-file", str(files["ca"]), "--cert-file", str(files["cert"]), "--key-file", str(files["key"]), "a.mp4")
    endpoint = jobs[0][1]

    assert (endpoint.ca_file, endpoint.cert_file, endpoint.key_file) == (files["ca"], files["cert"], files["key"])


def test_the_log_level_decides_what_is_told(tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    quiet, loud = (run("--endpoint", "127.0.0.1:1", "--log-level", level, clip, code=1) for level in ("error", "debug"))

    assert "DEBUG" in loud
    assert "DEBUG" not in quiet


def test_streaming_is_chosen_by_the_flag(jobs) -> None:
    invoke("-sv", "a.mp4")
    invoke("segment", "-i", "a.mp4", "-i", "b.mp4")
    assert [kind for kind, _, _ in jobs] == ["streamed", "frames", "frames"]


def test_endpoint_options_and_environment(jobs, tmp_path) -> None:
    (tmp_path / "token").write_text("secret\n")
    invoke("--endpoint", "h:1", "--token-file", str(tmp_path / "token"), "a.mp4")
    invoke("a.mp4", env={"SEGCLIENT_ENDPOINT": "e:2", "SEGCLIENT_EFFECT": "mask"})
    assert (jobs[0][1].target, jobs[0][1].token) == ("h:1", "secret")
    assert (jobs[1][1].target, jobs[1][2].spec.effect) == ("e:2", "mask")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--effect", "sparkle", "a.mp4"],
        ["--color", "1,2", "a.mp4"],
        ["--color", "300,0,0", "a.mp4"],
        ["--crf", "99", "a.mp4"],
        ["--batch-size", "0", "a.mp4"],
        ["--live", "a.mp4"],
        ["--smooth", "0", "a.mp4"],
        ["--mirror", "a.mp4"],
        ["--nonsense", "a.mp4"],
        ["--ca-file", "/nowhere", "a.mp4"],
        ["sheet", "a", "b"],
    ],
)
def test_wrong_usage(jobs, arguments) -> None:
    assert invoke(*arguments).exit_code == 2
    assert not jobs


def test_wrong_usage_is_one_line() -> None:
    lines = run("--effect", "sparkle", "a.mp4", code=2).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("segclient: error: ")
    assert lines[0].endswith("See segclient segment --help.")
    assert "See segclient bench --help." in run("bench", code=2)


def test_version() -> None:
    assert "0.1.0" in run("--version")
