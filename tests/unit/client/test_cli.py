from __future__ import annotations

import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from client_clips import CFR, audio_packets, frame_times, make_clip
from echo_service import EchoService
from segclient_process import run

from segtriton_client import cli, runs
from segtriton_client.image_files import read_image, write_image
from segtriton_client.job import Job
from segtriton_client.report import Report

REPORT = Report(
    3, 3, {}, 1.0, 3.0, {"p50": 1.0, "p95": 1.0, "p99": 1.0}, "", 0, "selfie", "d", "e", "h264", "yuv420p", "s"
)
REPORT_KEYS = [
    "frames_in",
    "frames_out",
    "frames_dropped",
    "seconds",
    "frames_per_second",
    "latency_ms",
    "session_id",
    "resumes",
    "network",
    "decoder",
    "encoder",
    "output_codec",
    "pixel_format",
    "server",
    "stages",
    "warnings",
    "notes",
    "damaged_frames",
]


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


@pytest.mark.parametrize("streamed", [["-sv"], []], ids=["streamed", "frames"])
@pytest.mark.parametrize("kind", ["missing", "empty", "text", "noise", "audio", "no-frames", "truncated", "folder"])
def test_unreadable_input(serve, tmp_path, kind, streamed) -> None:
    clip = tmp_path / "clip.mp4"
    if kind == "empty":
        clip.touch()
    elif kind == "text":
        clip = tmp_path / "clip.txt"
        clip.write_text("not a video\n" * 100)
    elif kind == "noise":
        clip.write_bytes(np.random.default_rng(1).bytes(5000))
    elif kind == "audio":
        with wave.open(str(clip), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(16_000))
    elif kind == "no-frames":
        make_clip(clip, ())
    elif kind == "truncated":
        whole = make_clip(tmp_path / "whole.mp4").read_bytes()
        (tmp_path / "whole.mp4").unlink()
        clip.write_bytes(whole[: len(whole) // 2])
    elif kind == "folder":
        clip = tmp_path / "folder"
        clip.mkdir()
    before = sorted(tmp_path.iterdir())

    told = run("--endpoint", serve(EchoService()), *streamed, clip, code=3)

    assert told.startswith("segclient: error: ")
    assert len(told.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_server_down(tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    told = run("--endpoint", "127.0.0.1:1", "-sv", clip, code=1)
    assert told.startswith("segclient: error: No server answers at 127.0.0.1:1")
    assert len(told.splitlines()) == 1


def test_server_fails_in_the_middle(serve, tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    told = run("--endpoint", serve(EchoService(fail_after=3)), "-sv", clip, code=1)
    assert "WORKER_LOST" in told
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_streams_and_reports(serve, tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", audio=True)
    told = run("--endpoint", serve(EchoService()), "-sv", clip, "--report", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert list(report) == REPORT_KEYS
    assert report["frames_out"] == len(CFR)
    assert sorted(report["latency_ms"]) == ["p50", "p95", "p99"]
    assert f"{len(CFR)} frames" in told
    assert frame_times(tmp_path / "clip_blur.mp4") == frame_times(clip)


def test_each_warning_of_the_service_is_told_once(serve, tmp_path) -> None:
    warnings = ("The masks are random.", "The class is a guess.")
    endpoint = serve(EchoService(warnings=warnings))
    clips = [make_clip(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    (tmp_path / "out").mkdir()
    options = ["-o", tmp_path / "out", "--report", tmp_path / "r.json"]
    told = run("--endpoint", endpoint, "-sv", *clips, *options).splitlines()

    for warning in warnings:
        assert told.count(f"segclient: warning: {warning}") == 1
    assert len(told) == len(warnings) + len(clips)
    assert [report["warnings"] for report in json.loads((tmp_path / "r.json").read_text())] == [list(warnings)] * 2


def test_dropped_frames_have_a_code_of_their_own(serve, tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", b_frames=0)
    run("--endpoint", serve(EchoService(drop_seqs=(19,))), "-sv", clip, code=4)
    assert (tmp_path / "clip_blur.mp4").exists()


def test_frames_mode_keeps_times_audio_and_parameters(serve, tmp_path) -> None:
    service = EchoService()
    clip = make_clip(tmp_path / "clip.mp4", audio=True)
    run("--endpoint", serve(service), "--effect", "color", "--color", "1,2,3", "-b", "3", clip)
    assert frame_times(tmp_path / "clip_color.mp4") == frame_times(clip)
    assert audio_packets(tmp_path / "clip_color.mp4") == audio_packets(clip)
    assert service.parameters == {"effect": "color", "class_name": "", "strength": "0.5", "color_rgb": "1,2,3"}


def test_images_and_folders(serve, tmp_path) -> None:
    folder = tmp_path / "pictures"
    pixels = {}
    for name, size in (("a.png", 32), ("b.png", 32), ("c.jpg", 48)):
        pixels[name] = np.full((size, size, 3), (10, 120, 200), np.uint8)
        write_image(pixels[name], folder / name)
    endpoint = serve(EchoService())
    run("--endpoint", endpoint, folder)
    run("--endpoint", endpoint, folder / "a.png")
    for path in (tmp_path / "pictures_blur" / "a.png", folder / "a_blur.png"):
        assert np.array_equal(read_image(path), pixels["a.png"])
    assert sorted(path.name for path in (tmp_path / "pictures_blur").iterdir()) == ["a.png", "b.png", "c.jpg"]
    assert np.abs(read_image(tmp_path / "pictures_blur/c.jpg").astype(int) - pixels["c.jpg"]).max() < 8


def test_several_inputs_go_on_after_a_failure(serve, tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    (tmp_path / "out").mkdir()
    told = run("--endpoint", serve(EchoService()), "-sv", tmp_path / "no.mp4", clip, "-o", tmp_path / "out", code=3)
    assert "no.mp4" in told
    assert (tmp_path / "out" / "clip_blur.mp4").exists()


def test_output_is_never_the_input_nor_overwritten_unasked(tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    (tmp_path / "clip_blur.mp4").touch()
    assert "input itself" in run("-sv", clip, "-o", clip, code=2)
    assert "exists" in run("-sv", clip, "--no-overwrite", code=2)


@pytest.mark.parametrize("is_restricted", [False, True])
def test_models(serve, is_restricted) -> None:
    endpoint = serve(EchoService(is_restricted=is_restricted))
    assert run("models", "--endpoint", endpoint) == "selfie\nselfie_streaming\n"


def test_sheet(tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    run("sheet", clip, clip, clip, "-o", tmp_path / "sheet.png")
    height, width, _ = read_image(tmp_path / "sheet.png").shape
    assert (width, height) == (5 * (320 + 12) + 12, 3 * (240 + 12) + 12)
    with av.open(str(tmp_path / "sheet.png")) as picture:
        assert picture.streams.video[0].codec_context.name == "png"


def test_sheet_has_the_colors_that_servers_take_an_untagged_clip_for(tmp_path) -> None:
    green = np.full((720, 1280, 3), (0, 177, 64), np.uint8)
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 1280, 720
        frame = av.VideoFrame.from_ndarray(green).reformat(format="yuv420p", dst_colorspace="ITU709")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    run("sheet", *3 * [tmp_path / "clip.mp4"], "-o", tmp_path / "sheet.png")
    assert np.abs(read_image(tmp_path / "sheet.png")[100, 100].astype(int) - green[0, 0]).max() <= 3


# ------------------------------------------------------------------ help

TESTS = Path(__file__).parents[2]
OPTIONS = [name for param in cli.segment.params for name in param.opts if name.startswith("--")]


def test_help_reads_in_sections_with_defaults_and_examples() -> None:
    text = invoke("segment", "--help").output
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]

    assert headings[0] == "What goes in"
    assert {"Where results go", "What is drawn", "Coding", "The run", "The server"} <= set(headings)
    assert "Examples:" in text
    assert "segclient -sv talk.mp4 --effect cutout -o talk.webm" in text
    assert "[default: superfast]" in text


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_has_help_and_stands_in_a_test(option: str) -> None:
    (param,) = (param for param in cli.segment.params if option in param.opts)
    assert getattr(param, "help", None)

    names = [*param.opts, *param.secondary_opts]
    files = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    texts = [Path(__file__).read_text().split("# ----- help")[0], *(path.read_text() for path in files)]
    assert any(f'"{name}"' in text for name in names for text in texts), f"{option} has no test"
