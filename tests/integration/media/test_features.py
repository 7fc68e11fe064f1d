"""What is more than a tag: interlaced, cut, damaged and changing videos, and what the report says of them."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from checker import check_same, read_content
from numbered_clips import FRAMES, RATE, Recipe, numbered_frame
from segments import UNCHANGED, Segment

from segtriton_client import InputError
from segtriton_protocol import ErrorCode, SegtritonError

INTERLACED = {"flags": "+ilme+ildct", "bf": "2", "x264-params": "tff=1"}


# ------------------------------------------------------------------ interlaced


def write_combed(path: Path) -> Path:
    """Two fields of different moments in each picture: a bar that moves by 8 pixels a field."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "8", **INTERLACED})
        stream.width, stream.height = 192, 128
        for number in range(FRAMES):
            frame = numbered_frame(number, (192, 128), "yuv420p")
            luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
            for field in range(2):
                left = 80 + 8 * (2 * (number % 5) + field)
                luma[32 + field : 128 : 2, left : left + 16] = 235
            frame.pts, frame.time_base = number, 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def combing(path: Path) -> float:
    """How much neighbouring lines differ more than every second line does, summed over all pictures."""
    luma = np.stack([picture.rgb[32:, 72:].mean(axis=-1) for picture in read_content(path).pictures])
    return float(np.abs(np.diff(luma, axis=1)).sum() / np.abs(luma[:, 2:] - luma[:, :-2]).sum())


def test_interlaced_pictures_are_deinterlaced_and_the_report_says_so(segment: Segment, tmp_path: Path) -> None:
    given, made = write_combed(tmp_path / "given.mp4"), tmp_path / "made.mp4"
    report = segment(given, made)

    check_same(given, made, pictures=False)
    assert combing(given) > 2
    assert combing(made) < 1
    assert "deinterlaced" in " ".join(report.notes)


def test_interlaced_pictures_stay_so_if_the_user_wants_it(segment: Segment, tmp_path: Path) -> None:
    given, made = write_combed(tmp_path / "given.mp4"), tmp_path / "made.mp4"
    report = segment(given, made, replace(UNCHANGED, deinterlace=False))

    assert combing(made) > 2
    assert report.notes == ()


# ------------------------------------------------------------------ sizes, depths and clocks


def test_a_size_that_changes_is_scaled_to_the_first_one(segment: Segment, tmp_path: Path) -> None:
    small, large = (Recipe(ending="h264", size=size, options={"bf": "0"}) for size in ((192, 128), (240, 160)))
    parts = [recipe.write(make_folder(tmp_path / name)) for name, recipe in {"a": small, "b": large}.items()]
    given, made = tmp_path / "given.ts", tmp_path / "made.mp4"
    with av.open(given, "w") as container:
        stream = container.add_mux_stream("h264", rate=25, width=192, height=128)
        stream.time_base = Fraction(1, 90000)
        payloads = [bytes(packet) for part in parts for packet in packets_of(part)]
        for number, payload in enumerate(payloads):
            packet = av.Packet(payload)
            packet.pts = packet.dts = number * 3600
            packet.stream, packet.time_base = stream, Fraction(1, 90000)
            container.mux(packet)
    report = segment(given, made)

    after = read_content(made)
    assert after.size == (192, 128)
    assert after.numbers[:FRAMES] == list(range(FRAMES))
    assert len(after.numbers) == 2 * FRAMES
    assert any("240x160" in note and "192x128" in note for note in report.notes)


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def packets_of(path: Path) -> list[av.Packet]:
    with av.open(path) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def test_a_stream_without_timestamps_gets_those_of_its_frame_rate(stream: Segment, tmp_path: Path) -> None:
    given, made = Recipe(ending="h264").write(tmp_path), tmp_path / "made.mp4"
    assert all(packet.pts is None for packet in packets_of(given))
    stream(given, made)

    after = read_content(made)
    assert after.numbers == list(range(FRAMES))
    assert [time - after.times[0] for time in after.times] == [number / RATE for number in range(FRAMES)]


# ------------------------------------------------------------------ damage


def write_damaged(folder: Path) -> tuple[Path, int]:
    """A clip, one packet of which is half zeros; returns its path and that packet's number."""
    whole = Recipe(ending="mkv", options={"bf": "0", "g": "100"}).write(folder)
    path, victim = folder / "damaged.mkv", 5
    with av.open(whole) as source, av.open(path, "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            broken = av.Packet(spoil(bytes(packet)) if number == victim else bytes(packet))
            broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
            broken.is_keyframe, broken.stream = packet.is_keyframe, copy
            target.mux(broken)
    return path, victim


def spoil(payload: bytes) -> bytes:
    """Keep the length and the headers, lose the second half of the picture."""
    kept = len(payload) // 2
    return payload[:kept] + bytes(255 for _ in payload[kept:])


def test_a_damaged_frame_is_named_and_the_rest_goes_on(segment: Segment, tmp_path: Path) -> None:
    given, victim = write_damaged(tmp_path)
    report = segment(given, tmp_path / "made.mkv")

    assert report.frames_in == FRAMES
    assert report.frames_out + sum(report.frames_dropped.values()) == FRAMES
    assert victim in [seq for seq, _ in report.damaged_frames]
    assert {reason for _, reason in report.damaged_frames} <= {"damaged", "mended", "no_frame"}


def test_a_strict_run_ends_at_the_damage(segment: Segment, tmp_path: Path) -> None:
    given, victim = write_damaged(tmp_path)

    with pytest.raises(InputError, match=f"Frame {victim} of the input is damaged"):
        segment(given, tmp_path / "made.mkv", strict=True)
    assert not (tmp_path / "made.mkv").exists()


def test_a_strict_run_of_a_whole_clip_is_one_like_any_other(segment: Segment, tmp_path: Path) -> None:
    given = Recipe().write(tmp_path)

    assert segment(given, tmp_path / "made.mp4", strict=True).damaged_frames == []


# ------------------------------------------------------------------ what is left out or refused


def test_subtitles_that_the_container_cannot_hold_are_named(segment: Segment, tmp_path: Path) -> None:
    given, made = Recipe(ending="mkv", subtitles=True, audio_tracks=1).write(tmp_path), tmp_path / "made.mp4"
    report = segment(given, made)

    assert [kind for kind, _, _ in read_content(made).tracks] == ["audio"]
    assert any("srt subtitle" in note for note in report.notes)


@pytest.mark.parametrize("codec", ["ffv1", "prores"])
def test_an_unsupported_codec_is_refused_by_its_name_before_a_frame_is_sent(
    stream: Segment, tmp_path: Path, codec: str
) -> None:
    given = tmp_path / "given.mkv"
    with av.open(given, "w") as container:
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height = 192, 128
        video.pix_fmt = "yuv422p10le" if codec == "prores" else "yuv420p"
        for number in range(3):
            container.mux(video.encode(numbered_frame(number, (192, 128), video.pix_fmt)))
        container.mux(video.encode(None))

    with pytest.raises(SegtritonError, match=codec) as caught:
        stream(given, tmp_path / "made.mkv")
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
