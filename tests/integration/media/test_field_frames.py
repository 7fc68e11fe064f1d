"""Frames that a decoder gives come back, each at its time, whatever the container says of them."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from checker import read_content
from field_clips import (
    RECORDINGS,
    STAMPS,
    Coded,
    begun_between_keyframes,
    cut_by_an_edit_list,
    decoded_times,
    encode,
    mux,
    sound_of,
    with_hidden_frames,
    with_pts_in_decode_order,
)
from h264_bits import field_packets, unit, without_reorder_depth
from numbered_clips import FRAMES, RATE, Recipe
from segclient_runs import succeed
from segments import Segment

from segtriton_client import InputError
from segtriton_server.launch import TritonProcess

pytestmark = pytest.mark.whole

ALL_NUMBERS = list(range(FRAMES))
ALL_TIMES = [number / RATE for number in ALL_NUMBERS]

# ------------------------------------------------------------------ times in display order


def write_without_pts(folder: Path, suffix: str) -> Path:
    if suffix == "avi":
        return Recipe(ending="avi").write(folder)
    return with_pts_in_decode_order(folder, suffix)


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mp4", "flv"])
def test_pictures_without_a_true_pts_are_shown_in_the_decoders_order(
    segment: Segment, tmp_path: Path, suffix: str
) -> None:
    made = tmp_path / "made.mp4"
    report = segment(write_without_pts(tmp_path, suffix), made)

    after = read_content(made)
    assert after.numbers == ALL_NUMBERS
    assert max(abs(a - b) for a, b in zip(after.times, ALL_TIMES, strict=True)) <= Fraction(1, 2000)
    assert report.frames_dropped == {}


@pytest.mark.parametrize("target", ["masks.jsonl", "frame_%04d.png", "made.webm"])
def test_every_sink_has_them_in_that_order(server: TritonProcess, tmp_path: Path, target: str) -> None:
    given = Recipe(ending="avi").write(tmp_path)
    succeed(server, "-sv", given, "-o", tmp_path / target)

    if target == "masks.jsonl":
        lines = (tmp_path / target).read_text().splitlines()
        assert [json.loads(line)["time"] for line in lines] == [float(time) for time in ALL_TIMES]
    elif target == "made.webm":
        assert read_content(tmp_path / target).numbers == ALL_NUMBERS
    else:
        assert len(list(tmp_path.glob("frame_*.png"))) == FRAMES


def write_without_reorder_depth(path: Path) -> Path:
    coded = encode("libx264", 9, preset="veryfast", bf="7", profile="main", **{"x264-params": "b-adapt=0"})
    return mux(path, "h264", [replace(one, payload=without_reorder_depth(one.payload)) for one in coded])


def test_a_decoder_need_not_learn_the_reorder_depth(segment: Segment, tmp_path: Path) -> None:
    given, made = write_without_reorder_depth(tmp_path / "given.ts"), tmp_path / "made.mp4"
    report = segment(given, made)

    assert read_content(made).numbers == list(range(9))
    assert report.frames_dropped == {}


@pytest.mark.parametrize("options", [("--live",), ("--encoder", "mask", "--effect", "mask"), ("--effect", "cutout")])
def test_nor_need_one_that_is_live_or_here(server: TritonProcess, tmp_path: Path, options: tuple[str, ...]) -> None:
    given, made = write_without_reorder_depth(tmp_path / "given.ts"), tmp_path / "made.mkv"
    succeed(server, "-sv", given, "-o", made, *options)

    assert len(decoded_times(made)) == 9


# ------------------------------------------------------------------ begun between keyframes


@pytest.mark.parametrize("kind", RECORDINGS)
def test_what_begins_between_keyframes_is_decoded_from_the_first_one_on(
    segment: Segment, tmp_path: Path, kind: str
) -> None:
    recipe = replace(RECORDINGS[kind], audio_tracks=1)
    given, made = begun_between_keyframes(tmp_path, recipe, 3), tmp_path / f"made.{recipe.ending}"
    report = segment(given, made)

    after = read_content(made)
    assert after.times == decoded_times(given)
    assert after.tracks == sound_of(given)
    assert report.lost_frames == 0
    assert report.damaged_frames == []
    assert any("begins between keyframes" in note for note in report.notes)


def test_frames_that_an_edit_list_leaves_out_are_no_loss(segment: Segment, tmp_path: Path) -> None:
    given, made = cut_by_an_edit_list(tmp_path, 5), tmp_path / "made.mp4"
    report = segment(given, made)

    after = read_content(made)
    assert after.numbers == list(range(5, len(STAMPS)))
    assert after.times == decoded_times(given)
    assert report.lost_frames == 0


def test_without_a_keyframe_nothing_can_be_decoded(segment: Segment, tmp_path: Path) -> None:
    given = begun_between_keyframes(tmp_path, Recipe(ending="mkv", options={"g": "100"}), 1)

    with pytest.raises(InputError, match=f"no keyframe in {FRAMES - 1} packets"):
        segment(given, tmp_path / "made.mp4")
    assert not (tmp_path / "made.mp4").exists()


# ------------------------------------------------------------------ packets without a picture of their own


def write_fields(path: Path) -> Path:
    fields = field_packets(FRAMES, 192, 128)
    return mux(path, "h264", (Coded(p, Fraction(n, 2), Fraction(n, 2), n == 0) for n, p in enumerate(fields)))


def write_with_messages(path: Path) -> Path:
    """A clip with a packet behind each picture that holds a delimiter and a message alone."""
    message = unit(9, b"\xf0") + unit(6, b"\5\20" + bytes(range(16)) + b"\x80")
    coded = encode("libx264", FRAMES, preset="veryfast", bf="0")
    both = [[one, Coded(message, one.pts + Fraction(1, 2), one.dts + Fraction(1, 2), False)] for one in coded]
    return mux(path, "h264", [one for pair in both for one in pair])


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_fields, "given.ts"),
        (write_fields, "given.mkv"),
        (with_hidden_frames, "given.mkv"),
        (write_with_messages, "given.mkv"),
    ],
)
def test_a_packet_without_a_picture_of_its_own_is_no_loss(
    segment: Segment, tmp_path: Path, write: object, name: str
) -> None:
    assert callable(write)
    given, made = write(tmp_path / name), tmp_path / "made.mkv"
    report = segment(given, made)

    assert read_content(made).times == decoded_times(given)
    assert report.lost_frames == 0
    assert report.damaged_frames == []


def test_a_file_that_shows_no_picture_is_refused(segment: Segment, tmp_path: Path) -> None:
    coded = encode("libvpx", 4, deadline="realtime", **{"cpu-used": "8", "lag-in-frames": "0"})
    # RFC 6386, 9.1: bit 4 is show_frame.
    hidden = [replace(one, payload=bytes([one.payload[0] & ~0x10]) + one.payload[1:]) for one in coded]
    given, made = mux(tmp_path / "given.mkv", "vp8", hidden), tmp_path / "made.mkv"

    with pytest.raises(InputError, match=r"given.mkv (gave no picture; 4 packets were sent|holds no frames)"):
        segment(given, made)
    assert not made.exists()


# ------------------------------------------------------------------ a codec that changes


CHANGES = {
    "h264": ("libx264", {"preset": "veryfast", "bf": "0"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:bframes=0"}),
    "mpeg2video": ("mpeg2video", {"bf": "0"}),
}


# FFmpeg takes what it reads while it opens a file, five seconds, for one video.
NUM_BEFORE, NUM_AFTER = 200, 12
# Its parser takes the packets at the change for one.
NUM_GLUED = 2


@pytest.mark.parametrize(("first", "second"), [("h264", "hevc"), ("h264", "mpeg2video"), ("hevc", "h264")])
def test_what_comes_before_a_change_of_codec_is_kept(segment: Segment, tmp_path: Path, first: str, second: str) -> None:
    given, made = tmp_path / "given.ts", tmp_path / "made.mp4"
    parts = write_part(tmp_path, first, 0, NUM_BEFORE), write_part(tmp_path, second, NUM_BEFORE, NUM_AFTER)
    given.write_bytes(b"".join(part.read_bytes() for part in parts))
    report = segment(given, made)

    numbers = read_content(made).numbers
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= NUM_BEFORE - NUM_GLUED
    assert "other_codec" in report.frames_dropped
    assert NUM_AFTER - NUM_GLUED <= report.lost_frames <= NUM_AFTER + NUM_GLUED
    assert any(f"the video is in {second} and not in {first}" in note for note in report.notes)


def test_a_strict_run_ends_with_the_codec(segment: Segment, tmp_path: Path) -> None:
    given = tmp_path / "given.ts"
    parts = write_part(tmp_path, "h264", 0, NUM_BEFORE), write_part(tmp_path, "hevc", NUM_BEFORE, NUM_AFTER)
    given.write_bytes(b"".join(part.read_bytes() for part in parts))

    with pytest.raises(InputError, match="other_codec"):
        segment(given, tmp_path / "made.mp4", strict=True)
    assert not (tmp_path / "made.mp4").exists()


def write_part(folder: Path, codec: str, start: int, num_frames: int) -> Path:
    encoder, options = CHANGES[codec]
    coded = encode(encoder, num_frames, **options)
    later = [replace(one, pts=one.pts + start, dts=one.dts + start) for one in coded]
    return mux(folder / f"{codec}.ts", codec, later)
