"""Container x codec x feature: what went in comes out, seen by plain PyAV."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from checker import check_same
from numbered_clips import FRAMES, RATE, Recipe
from segments import UNCHANGED, Segment

NINETY_KILOHERTZ = Fraction(1, 90000)
TS_LATE = tuple(range(900_000, 900_000 + FRAMES * 3600, 3600))
TS_WRAPS = tuple(range((1 << 33) - 20_000, (1 << 33) - 20_000 + FRAMES * 3600, 3600))

CONTAINERS = {
    "h264-mp4": Recipe("h264", "mp4"),
    "h264-mp4-moov-first": Recipe(container_options={"movflags": "faststart"}),
    "h264-mp4-fragmented": Recipe(container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "h264-mov": Recipe("h264", "mov"),
    "h264-mkv": Recipe("h264", "mkv"),
    "h264-ts": Recipe("h264", "ts"),
    "h264-avi": Recipe("h264", "avi", options={"bf": "0"}),
    "hevc-mp4": Recipe("hevc", "mp4"),
    "hevc-mkv": Recipe("hevc", "mkv"),
    "hevc-ts": Recipe("hevc", "ts"),
    "av1-mp4": Recipe("av1", "mp4"),
    "av1-mkv": Recipe("av1", "mkv"),
    "av1-webm": Recipe("av1", "webm"),
    "vp8-webm": Recipe("vp8", "webm"),
    "vp9-webm": Recipe("vp9", "webm"),
    "vp9-mp4": Recipe("vp9", "mp4"),
    "mpeg2-ts": Recipe("mpeg2video", "ts"),
    "mpeg2-mkv": Recipe("mpeg2video", "mkv"),
    "mpeg4-mp4": Recipe("mpeg4", "mp4"),
    "mpeg4-avi": Recipe("mpeg4", "avi"),
    "mjpeg-mov": Recipe("mjpeg", "mov", pixel_format="yuvj420p"),
    "h264-flv": Recipe("h264", "flv"),
    "h264-m2ts": Recipe("h264", "m2ts"),
    "h264-3gp": Recipe("h264", "3gp"),
    "hevc-flv": Recipe("hevc", "flv"),
    "vp9-avi": Recipe("vp9", "avi"),
    "mpeg2-mpg": Recipe("mpeg2video", "mpg"),
    "mjpeg-mp4": Recipe("mjpeg", "mp4", pixel_format="yuvj420p"),
    "mjpeg-avi": Recipe("mjpeg", "avi", pixel_format="yuvj422p"),
}
FEATURES = {
    "vfr": Recipe(stamps=(0, 500, 1100, 1300, 2800, 5000, 5001, 9000, 9700)),
    "late-start": Recipe(stamps=tuple(range(33333, 33333 + FRAMES * 512, 512)), audio_tracks=1),
    "ts-late-start-and-sound": Recipe(ending="ts", stamps=TS_LATE, time_base=NINETY_KILOHERTZ, audio_tracks=1),
    "ts-clock-wraps": Recipe(ending="ts", stamps=TS_WRAPS, time_base=NINETY_KILOHERTZ),
    "edit-list": Recipe(stamps=tuple(range(-3 * 512, (FRAMES - 3) * 512, 512)), audio_tracks=1),
    "59.94": Recipe(stamps=tuple(range(0, FRAMES * 1001, 1001)), time_base=Fraction(1, 60000)),
    "open-group": Recipe(options={"x264-params": "open-gop=1:bframes=3:keyint=6:b-pyramid=normal"}),
    "hevc-open-group": Recipe("hevc", options={"x265-params": "log-level=none:keyint=6:open-gop=1:bframes=3:pools=1"}),
    "sample-aspect": Recipe(sample_aspect=Fraction(16, 11)),
    "sample-aspect-mkv": Recipe(ending="mkv", sample_aspect=Fraction(4, 3)),
    "rotation": Recipe(rotation=90),
    "rotation-and-aspect": Recipe(rotation=180, sample_aspect=Fraction(4, 3)),
    "bt709": Recipe(color=(1, 1, 1, 1)),
    "bt2020-pq": Recipe("hevc", pixel_format="yuv420p10le", color=(9, 16, 9, 1)),
    "full-range": Recipe(color=(1, 1, 1, 2)),
    "full-range-444": Recipe(pixel_format="yuv444p", color=(1, 1, 1, 2)),
    "odd": Recipe("vp9", "webm", size=(127, 95)),
    "odd-444": Recipe(pixel_format="yuv444p", size=(127, 95)),
    "odd-height": Recipe("vp9", "mkv", size=(128, 97)),
    "tiny": Recipe("vp9", "webm", size=(66, 34)),
    "h264-10-bit": Recipe(pixel_format="yuv420p10le"),
    "h264-422": Recipe(pixel_format="yuv422p"),
    "h264-422-10-bit": Recipe(pixel_format="yuv422p10le"),
    "h264-444-10-bit": Recipe(pixel_format="yuv444p10le"),
    "h264-rgb": Recipe("h264rgb", "mkv", pixel_format="rgb24"),
    "vp8-unspecified": Recipe("vp8", "webm", color=(2, 2, 2, 1)),
    "hevc-10-bit": Recipe("hevc", pixel_format="yuv420p10le"),
    "hevc-444-12-bit": Recipe("hevc", pixel_format="yuv444p12le"),
    "tracks": Recipe(audio_tracks=2, chapters=True),
    "tracks-mkv": Recipe(ending="mkv", audio_tracks=3, subtitles=True, chapters=True),
}
SHORT = ("h264-mp4", "hevc-mkv", "mpeg2-ts", "edit-list", "sample-aspect", "full-range", "odd", "tracks-mkv")
MATRIX = [
    pytest.param(recipe, id=name, marks=() if name in SHORT else pytest.mark.whole)
    for name, recipe in {**CONTAINERS, **FEATURES}.items()
]
# Where the endings differ, the output's container is one that can hold H.264.
ENDINGS = {"webm": "mkv", **dict.fromkeys(("avi", "flv", "m2ts", "mpg"), "mp4")}


@pytest.mark.parametrize("recipe", MATRIX)
def test_a_clip_comes_back_as_it_was(segment: Segment, tmp_path: Path, recipe: Recipe) -> None:
    given = recipe.write(tmp_path)
    made = tmp_path / f"made.{ENDINGS.get(recipe.ending, recipe.ending)}"
    report = segment(given, made)

    # FFmpeg invents times for reordered pictures in AVI, each a frame late and the last two at once.
    stores_none = recipe.ending == "avi" and recipe.codec == "h264"
    after = check_same(given, made, times=[number / RATE for number in range(FRAMES)] if stores_none else None)
    assert report.frames_out == len(after.pictures)
    assert report.frames_dropped.keys() <= {"hidden"}
    assert report.frames_in == report.frames_out + sum(report.frames_dropped.values())


IN_JPEG = ("h264-mp4", "bt709", "full-range", "bt2020-pq", "h264-rgb", "vp8-unspecified", "mjpeg-mov")


@pytest.mark.parametrize("recipe", [case for case in MATRIX if case.id in IN_JPEG])
def test_a_clip_comes_back_in_jpeg(stream: Segment, tmp_path: Path, recipe: Recipe) -> None:
    given, made = recipe.write(tmp_path), tmp_path / "made.mkv"
    stream(given, made, replace(UNCHANGED, encoder="mjpeg"))

    assert check_same(given, made, least_psnr=37).codec == "mjpeg"
