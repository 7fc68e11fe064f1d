"""Runs of the command on a service that sends back what it gets: what is written, told and returned."""

from __future__ import annotations

import json
import wave

import av
import numpy as np
import pytest
from client_clips import CFR, audio_packets, frame_times, make_clip
from echo_service import EchoService
from segclient_process import run

from segtriton_client.image_files import write_image
from segtriton_client.still_images import read_still
from segtriton_protocol import Described, ErrorCode, Failed, SegtritonError

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
    "is_truncated",
    "drawn_here",
    "drawing_share",
    "class_name",
    "frames_without_class",
    "input",
    "outputs",
    "error",
]


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


def test_frames_without_the_class_are_told(serve, tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    told, reports = [], []
    for count in (7, 0, None):
        endpoint = serve(EchoService(frames_without_class=count))
        told.append(run("--endpoint", endpoint, "-sv", clip, "--report", tmp_path / "r.json"))
        reports.append(json.loads((tmp_path / "r.json").read_text()))

    assert f"note: {clip}: Nothing of class person was found in 7 of {len(CFR)} frames." in told[0]
    assert "Nothing" not in told[1] + told[2]
    assert [report["frames_without_class"] for report in reports] == [7, 0, None]
    assert [report["class_name"] for report in reports] == ["person"] * 3


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
    expected = {"effect": "color", "class_name": "", "strength": "0.5", "color_rgb": "1,2,3", "despill": True}
    assert service.parameters == expected


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
        assert np.array_equal(read_still(path).rgb, pixels["a.png"])
    assert sorted(path.name for path in (tmp_path / "pictures_blur").iterdir()) == ["a.png", "b.png", "c.jpg"]
    assert np.abs(read_still(tmp_path / "pictures_blur/c.jpg").rgb.astype(int) - pixels["c.jpg"]).max() < 8


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
    told = "selfie\nselfie_streaming  Apache-2.0: background, person\n"
    assert run("models", "--endpoint", endpoint) == told


@pytest.mark.parametrize("options", [(), ("--network", "colors")])
def test_models_of_a_network_that_nobody_knows_are_learnt_from_another(serve, options) -> None:
    ready = ("colors", "colors_streaming", "dogs", "dogs_streaming", *(() if options else ("selfie_streaming",)))
    described = Described("colors", ("background", "red"), "red", "MIT", ("cats", "colors", "dogs", "selfie"))
    endpoint = serve(EchoService(is_restricted=True, ready=ready, described=described))

    told = run("models", "--endpoint", endpoint, *options)
    assert [line.split()[0] for line in told.splitlines()] == sorted(ready)
    assert "colors_streaming  MIT: background, red\n" in told


def test_models_of_a_server_that_describes_nothing_are_named(serve) -> None:
    refusal = Failed(SegtritonError(ErrorCode.INVALID_MESSAGE, "The parameter must be one of open, packets."))
    endpoint = serve(EchoService(described=refusal))
    assert run("models", "--endpoint", endpoint) == "selfie\nselfie_streaming\n"


def test_sheet(tmp_path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    run("sheet", clip, clip, clip, "-o", tmp_path / "sheet.png")
    height, width, _ = read_still(tmp_path / "sheet.png").rgb.shape
    assert (width, height) == (5 * (320 + 12) + 12, 3 * (240 + 12) + 12)
    with av.open(str(tmp_path / "sheet.png")) as picture:
        assert picture.streams.video[0].codec_context.name == "png"


def test_a_sheet_may_have_a_name_that_no_terminal_can_show(tmp_path) -> None:
    clip, picture = make_clip(tmp_path / "clip.mp4"), tmp_path / "no-\udcff-utf-8.png"
    run("sheet", clip, clip, clip, "-o", picture)
    assert picture.exists()


def test_sheet_has_the_colors_that_servers_take_an_untagged_clip_for(tmp_path) -> None:
    green = np.full((720, 1280, 3), (0, 177, 64), np.uint8)
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 1280, 720
        frame = av.VideoFrame.from_ndarray(green).reformat(format="yuv420p", dst_colorspace="ITU709")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    run("sheet", *3 * [tmp_path / "clip.mp4"], "-o", tmp_path / "sheet.png")
    assert np.abs(read_still(tmp_path / "sheet.png").rgb[100, 100].astype(int) - green[0, 0]).max() <= 3
