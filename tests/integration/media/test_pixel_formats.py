"""Bits and chroma come back as they were where the encoder can code them; else the report says what was done."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from checker import check_same, psnr, read_content
from numbered_clips import RATE, Recipe
from segclient_runs import succeed
from segments import UNCHANGED, Segment

from segtriton_protocol import EFFECTS, OutputSpec
from segtriton_server.launch import TritonProcess

# Primaries, transfer and matrix, as ITU-T H.273 numbers them.
BT2020_PQ, BT2020_HLG = (9, 16, 9), (9, 18, 9)

KEPT = {
    "h264-422": Recipe(pixel_format="yuv422p"),
    "h264-444": Recipe(pixel_format="yuv444p"),
    "h264-444-full-range": Recipe(pixel_format="yuv444p", color=(1, 1, 1, 2)),
    "h264-444-odd": Recipe(pixel_format="yuv444p", size=(127, 95)),
    "hevc-422": Recipe("hevc", pixel_format="yuv422p"),
    "hevc-444": Recipe("hevc", "mkv", pixel_format="yuv444p"),
    "mjpeg-422": Recipe("mjpeg", "mov", pixel_format="yuvj422p"),
    "vp9-444": Recipe("vp9", "mkv", pixel_format="yuv444p"),
    "h264-10-bit": Recipe(pixel_format="yuv420p10le"),
    "h264-422-10-bit-full-range": Recipe(pixel_format="yuv422p10le", color=(1, 1, 1, 2)),
    "h264-444-10-bit-odd": Recipe(pixel_format="yuv444p10le", size=(127, 95)),
    "hevc-hdr10": Recipe("hevc", pixel_format="yuv420p10le", color=(*BT2020_PQ, 1)),
    "hevc-hlg": Recipe("hevc", "mkv", pixel_format="yuv420p10le", color=(*BT2020_HLG, 1)),
    "av1-hdr10": Recipe("av1", "mkv", pixel_format="yuv420p10le", color=(*BT2020_PQ, 1)),
}
NEAREST = {
    "hevc-444-12-bit": (Recipe("hevc", pixel_format="yuv444p12le"), "yuv444p10le", "yuv444p10le, 10 bits"),
    "h264-rgb": (Recipe("h264rgb", "mkv", pixel_format="rgb24"), "yuvj444p", "yuv444p, 8 bits"),
}
LEAST_PSNR = 40


def format_of(path: Path) -> str:
    with av.open(path) as container:
        return next(container.decode(video=0)).format.name


def planes_of(path: Path) -> list[list[np.ndarray]]:
    """The planes of each picture, [h, w], as the decoder gives them."""
    with av.open(path) as container:
        return [planes(frame) for frame in container.decode(video=0)]


def planes(frame: av.VideoFrame) -> list[np.ndarray]:
    components = frame.format.components
    kind = np.uint16 if components[0].bits > 8 else np.uint8
    rows = (np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size).view(kind) for p in frame.planes)
    return [plane[: part.height, : part.width].astype(float) for plane, part in zip(rows, components, strict=True)]


def worst_psnr(given: Path, made: Path) -> float:
    """Of all planes of all pictures, in dB."""
    peak = 1023 if format_of(given).endswith("10le") else 255
    pairs = zip(planes_of(given), planes_of(made), strict=True)
    errors = [np.mean((a - b) ** 2) for before, after in pairs for a, b in zip(before, after, strict=True)]
    return float(10 * np.log10(peak**2 / max(max(errors), 1e-9)))


@pytest.mark.parametrize("name", KEPT)
def test_a_format_that_the_encoder_codes_comes_back(stream: Segment, tmp_path: Path, name: str) -> None:
    given, made = KEPT[name].write(tmp_path), tmp_path / "made.mkv"
    report = stream(given, made)

    check_same(given, made)
    assert format_of(made) == report.pixel_format
    assert format_of(made).replace("yuvj", "yuv") == format_of(given).replace("yuvj", "yuv")
    assert not report.notes
    assert worst_psnr(given, made) >= LEAST_PSNR


@pytest.mark.parametrize("name", NEAREST)
def test_another_becomes_the_nearest_and_is_named(stream: Segment, tmp_path: Path, name: str) -> None:
    recipe, kept, words = NEAREST[name]
    given, made = recipe.write(tmp_path), tmp_path / "made.mkv"
    report = stream(given, made)

    check_same(given, made)
    assert format_of(made) == report.pixel_format == kept
    assert report.notes == (f"The pictures are {format_of(given)}; converted to {words}.",)


def write_slope(path: Path) -> Path:
    """A clip without loss whose luma has all levels of 10 bits from black to white."""
    rows, columns = np.mgrid[:192, :320]
    with av.open(path, "w") as container:
        stream = container.add_stream(
            "libx265", rate=RATE, options={"x265-params": "lossless=1:log-level=none:pools=1"}
        )
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p10le"
        frame = av.VideoFrame(320, 192, "yuv420p10le")
        luma, *chroma = (np.frombuffer(memoryview(p), np.uint16).reshape(-1, p.line_size // 2) for p in frame.planes)
        luma[:192, :320] = 64 + 876 * (rows + columns) // 510
        for plane in chroma:
            plane.fill(512)
        for number in range(4):
            frame.pts, frame.time_base = number, 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_no_stage_has_only_8_bits(stream: Segment, tmp_path: Path) -> None:
    given, made = write_slope(tmp_path / "given.mp4"), tmp_path / "made.mp4"
    stream(given, made, replace(UNCHANGED, crf=0))

    for before, after in zip(planes_of(given), planes_of(made), strict=True):
        assert len(np.unique(after[0])) > 512
        assert np.abs(after[0] - before[0]).mean() < 0.5  # 8 bits would leave a mean of 1 at least


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_effect_looks_the_same_in_10_bits(stream: Segment, tmp_path: Path, effect: str) -> None:
    given, fine, plain = (
        Recipe("hevc", pixel_format="yuv420p10le").write(tmp_path),
        tmp_path / "10.mp4",
        tmp_path / "8.mp4",
    )
    spec = OutputSpec(effect=effect, preset="ultrafast", crf=8)
    stream(given, fine, spec)
    stream(given, plain, replace(spec, pixel_format="yuv420p"))

    assert (format_of(fine), format_of(plain)) == ("yuv420p10le", "yuv420p")
    pairs = zip(read_content(fine).pictures, read_content(plain).pictures, strict=True)
    assert min(psnr(a.rgb, b.rgb) for a, b in pairs) >= LEAST_PSNR


@pytest.mark.parametrize(("encoder", "made_of"), [("mjpeg", "yuvj420p"), ("mask", "gray")])
def test_10_bits_become_8_where_the_encoder_has_no_more(
    stream: Segment, tmp_path: Path, encoder: str, made_of: str
) -> None:
    given = Recipe("hevc", pixel_format="yuv420p10le").write(tmp_path)
    report = stream(given, tmp_path / "made.mkv", replace(UNCHANGED, encoder=encoder))

    assert report.pixel_format == made_of
    assert report.notes == ("The pictures are yuv420p10le; converted to yuv420p, 8 bits.",)


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p"])
def test_mjpeg_keeps_the_chroma(stream: Segment, tmp_path: Path, pixel_format: str) -> None:
    given, made = Recipe(pixel_format=pixel_format).write(tmp_path), tmp_path / "made.mkv"
    report = stream(given, made, replace(UNCHANGED, encoder="mjpeg"))

    check_same(given, made)
    assert format_of(made) == report.pixel_format == pixel_format.replace("yuv", "yuvj")
    assert not report.notes


def test_bare_masks_need_no_conversion(stream: Segment, tmp_path: Path) -> None:
    given = Recipe(pixel_format="yuv444p").write(tmp_path)
    report = stream(given, tmp_path / "made.mkv", replace(UNCHANGED, encoder="mask"))

    assert (report.pixel_format, report.notes) == ("gray", ())


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p", "yuv444p"])
def test_what_every_player_knows_can_be_asked_for(server: TritonProcess, tmp_path: Path, pixel_format: str) -> None:
    given, made = Recipe(pixel_format=pixel_format).write(tmp_path), tmp_path / "made.mp4"
    succeed(server, "-sv", given, "--pix-fmt", "yuv420p", "-o", made, "--report", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())

    check_same(given, made)
    assert format_of(made) == report["pixel_format"] == "yuv420p"
    assert report["notes"] == [f"The pictures are {pixel_format}; converted to yuv420p, 8 bits."]


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "yuv422p"])
def test_frames_in_batches_are_plain_and_named(server: TritonProcess, tmp_path: Path, pixel_format: str) -> None:
    given, made = Recipe(pixel_format=pixel_format).write(tmp_path), tmp_path / "made.mp4"
    succeed(server, given, "-o", made, "--report", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())

    assert format_of(made) == report["pixel_format"] == "yuv420p"
    assert report["notes"] == [f"The pictures are {pixel_format}; converted to yuv420p, 8 bits."]


def test_images_are_of_8_bits_and_it_is_named(stream: Segment, tmp_path: Path) -> None:
    given = Recipe(pixel_format="yuv420p10le").write(tmp_path)
    report = stream(given, tmp_path / "made_%02d.png")

    assert len([*tmp_path.glob("made_*.png")]) == report.frames_out
    assert report.notes == ("The pictures are yuv420p10le; converted to rgb24, 8 bits.",)


def test_what_the_client_draws_is_plain_and_named(server: TritonProcess, tmp_path: Path) -> None:
    given, made = Recipe(pixel_format="yuv422p").write(tmp_path), tmp_path / "made.mp4"
    drawing = ("--encoder", "mask", "--effect", "blur")
    succeed(server, "-sv", given, *drawing, "-o", made, "--report", tmp_path / "report.json")

    assert format_of(made) == "yuv420p"
    notes = json.loads((tmp_path / "report.json").read_text())["notes"]
    assert notes == ["The pictures are yuv422p; converted to yuv420p, 8 bits."]
