"""What users name as inputs and outputs, and what they are told when it cannot be."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import click
import numpy as np
import pytest
from client_clips import CFR, audio_packets, frame_times, make_clip
from echo_service import EchoService
from numbered_clips import FRAMES, Recipe
from segclient_process import PROGRAM, run

from segtriton_client import demuxer
from segtriton_client.demuxer import Demuxer
from segtriton_client.errors import InputError, OutputError
from segtriton_client.image_files import write_image
from segtriton_client.muxer import Muxer, OutputFile
from segtriton_client.runs import choose_outputs
from segtriton_client.sources import METADATA_OPTIONS, expand
from segtriton_client.still_images import read_still

# A process for each: a minute of make test.
pytestmark = pytest.mark.whole

CLIP, OTHER = Path("clips/a.mp4"), Path("clips/b.mp4")


# ------------------------------------------------------------------ where results go


@pytest.mark.parametrize(
    ("inputs", "output", "chosen"),
    [
        ([CLIP], "made", ["made"]),
        ([CLIP], "made/", ["made/a_blur.mp4"]),
        ([CLIP], "made.mp4/", ["made.mp4/a_blur.mp4"]),
        ([CLIP, OTHER], "made", ["made/a_blur.mp4", "made/b_blur.mp4"]),
        ([CLIP, OTHER], "made.d", ["made.d/a_blur.mp4", "made.d/b_blur.mp4"]),
        (["-"], "made/", ["made/stdin_blur.mp4"]),
    ],
)
def test_a_name_that_ends_in_a_slash_is_a_folder(inputs: list[Path | str], output: str, chosen: list[str]) -> None:
    assert choose_outputs(inputs, output, "blur") == [Path(path) for path in chosen]


def test_a_pattern_with_one_match_goes_into_the_folder(serve, tmp_path: Path) -> None:
    make_clip(tmp_path / "only.mp4")
    run("--endpoint", serve(EchoService()), "-sv", tmp_path / "*.mp4", "-o", f"{tmp_path}/made/")

    assert [path.name for path in (tmp_path / "made").iterdir()] == ["only_blur.mp4"]


def test_what_is_made_of_a_folder_of_images_is_the_folder_that_is_named(tmp_path: Path) -> None:
    assert choose_outputs(expand([tmp_path], streams=False), f"{tmp_path}/made/", "blur") == [tmp_path / "made"]


@pytest.mark.parametrize("output", ["made.mp4", "made.jsonl", "made_%02d.png", "-", "rtmp://host/live"])
def test_several_results_go_into_no_file(output: str) -> None:
    with pytest.raises(click.UsageError, match="must be a folder"):
        choose_outputs([CLIP, OTHER], output, "blur")
    with pytest.raises(click.UsageError, match="must be a folder"):
        choose_outputs([CLIP], output, "blur", many=True)


def test_all_results_of_one_pass_are_named(serve, tmp_path: Path) -> None:
    clip, made = make_clip(tmp_path / "clip.mp4"), tmp_path / "made"
    endpoint = serve(EchoService(sends_masks=True))
    told = run("--endpoint", endpoint, "-sv", clip, "--effect", "blur", "--effect", "mask", "-o", made)

    assert f"{made}/clip_blur.mp4, {made}/clip_mask.mp4: {len(CFR)} frames" in told


def test_a_name_may_have_a_colon(serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "clip.mp4").rename(tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    run("--endpoint", serve(EchoService()), "-sv", "12:30.mp4")

    assert len(frame_times(tmp_path / "12:30_blur.mp4")) == len(CFR)


NAMES = (
    "clip:1.mp4",
    "rtsp:foo.mp4",
    "lavfi:testsrc.mp4",
    "file:x.mp4",
    "concat:a|b.mp4",
    "100%.mp4",
    "frame_%04d.mp4",
    "[1].mp4",
    "what?*.mp4",
    "-weird.mp4",
    "new\nline.mp4",
    "no-\udcff-utf-8.mp4",
)


@pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
def test_what_is_there_is_that_file_whatever_it_is_called(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = make_clip(tmp_path / "clip.mkv")
    endpoint = serve(EchoService())
    (tmp_path / "made").mkdir()
    given = [make_clip(tmp_path / name) for name in NAMES]
    run("--endpoint", endpoint, *way, *NAMES, "-o", "made")
    for path in given:
        assert len(frame_times(tmp_path / "made" / f"{path.stem}_blur.mp4")) == len(CFR)
        path.write_bytes(b"before")
        run("--endpoint", endpoint, *way, clip, "-o", path.name)
        assert len(frame_times(path)) == len(CFR)
    assert len(list(tmp_path.iterdir())) == len(NAMES) + 2


def test_an_image_may_be_called_as_a_pattern_is(serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image, name = np.full((48, 64, 3), 99, np.uint8), "frame_%04d.png"
    write_image(image, Path(name))
    endpoint = serve(EchoService())
    run("--endpoint", endpoint, name, "-o", "made.png")
    run("--endpoint", endpoint, "-sv", name, "-o", "made.mp4")
    run("--endpoint", endpoint, "made.png", "-o", name)

    assert np.array_equal(read_still(Path("made.png")).rgb, image)
    assert len(frame_times(Path("made.mp4"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "made.mp4", "made.png"]


@pytest.mark.parametrize("pattern", ["100%/frame_%03d.png", "50%_%02d.png", "a:%d.png"])
def test_a_pattern_of_images_may_have_other_percent_signs(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tmp_path)
    endpoint = serve(EchoService())
    run("--endpoint", endpoint, "-sv", make_clip(tmp_path / "clip.mp4"), "-o", pattern)
    run("--endpoint", endpoint, "-sv", pattern, "-o", "made.mp4")

    assert len(frame_times(Path("made.mp4"))) == len(CFR)


def test_folders_that_are_called_as_videos_are_left_alone(serve, tmp_path: Path) -> None:
    (tmp_path / "clips" / "folder.mp4").mkdir(parents=True)
    make_clip(tmp_path / "clips" / "a.mp4")
    endpoint = serve(EchoService())
    for given in (tmp_path / "clips", tmp_path / "clips" / "*.mp4"):
        run("--endpoint", endpoint, "-sv", given, "-o", f"{tmp_path}/made/")

    assert [path.name for path in (tmp_path / "made").iterdir()] == ["a_blur.mp4"]


def test_a_name_that_is_empty_is_no_folder() -> None:
    assert "is empty" in run("-sv", "", code=2)


# ------------------------------------------------------------------ pipes and devices


@contextlib.contextmanager
def written_into(fifo: Path, content: bytes) -> Iterator[Path]:
    """A pipe that a program writes into."""
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(content,), daemon=True)
    writer.start()
    yield fifo
    writer.join(20)


@contextlib.contextmanager
def read_from(fifo: Path) -> Iterator[list[bytes]]:
    """A pipe that a program reads from, and what it has read in the end."""
    os.mkfifo(fifo)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()), daemon=True)
    reader.start()
    yield found
    reader.join(20)


def test_a_pipe_is_read_as_it_comes_and_its_result_goes_here(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make_clip(tmp_path / "clip.mkv").read_bytes()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with written_into(tmp_path / "pipe.mkv", content) as fifo:
        run("--endpoint", serve(EchoService()), "-sv", fifo)

    assert len(frame_times(Path("pipe_blur.mkv"))) == len(CFR)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_an_open_file_by_its_number(serve, tmp_path: Path) -> None:
    content = make_clip(tmp_path / "clip.mkv").read_bytes()
    run("--endpoint", serve(EchoService()), "-sv", "/dev/stdin", "-o", tmp_path / "made.mp4", piped=content)

    assert len(frame_times(tmp_path / "made.mp4")) == len(CFR)


@pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
@pytest.mark.parametrize("name", ["pipe.mkv", "pipe.mp4", "pipe.mov", "pipe.ts", "pipe"])
def test_a_pipe_is_written_as_it_comes(serve, tmp_path: Path, name: str, way: list[str]) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    with read_from(tmp_path / name) as found:
        run("--endpoint", serve(EchoService()), *way, clip, "-o", tmp_path / name)

    (tmp_path / "read").write_bytes(found[0])
    assert len(frame_times(tmp_path / "read")) == len(CFR)
    assert stat.S_ISFIFO((tmp_path / name).stat().st_mode)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
def test_sound_of_a_transport_stream_goes_into_a_pipe(serve, tmp_path: Path, way: list[str]) -> None:
    clip = Recipe(ending="ts", audio_tracks=2).write(tmp_path)
    with read_from(tmp_path / "pipe") as found:
        run("--endpoint", serve(EchoService()), *way, clip, "-o", tmp_path / "pipe")
    run("--endpoint", serve(EchoService()), *way, clip, "-o", tmp_path / "made.mp4")

    (tmp_path / "read.mp4").write_bytes(found[0])
    assert len(audio_packets(tmp_path / "read.mp4")) > FRAMES
    assert audio_packets(tmp_path / "read.mp4") == audio_packets(tmp_path / "made.mp4")


def test_masks_and_images_go_into_pipes(serve, tmp_path: Path) -> None:
    clip, image = make_clip(tmp_path / "clip.mp4"), np.full((8, 8, 3), 99, np.uint8)
    write_image(image, tmp_path / "image.png")
    with read_from(tmp_path / "pipe.jsonl") as masks:
        run("--endpoint", serve(EchoService(sends_masks=True)), "-sv", clip, "-o", tmp_path / "pipe.jsonl")
    with read_from(tmp_path / "pipe") as images:
        run("--endpoint", serve(EchoService()), tmp_path / "image.png", "-o", tmp_path / "pipe")

    assert len(masks[0].splitlines()) == len(CFR)
    (tmp_path / "read.png").write_bytes(images[0])
    assert np.array_equal(read_still(tmp_path / "read.png").rgb, image)


@pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
def test_a_device_stays_one(serve, tmp_path: Path, way: list[str]) -> None:
    clip, before = make_clip(tmp_path / "clip.mp4"), Path("/dev/null").stat().st_rdev
    for options in ([], ["--no-overwrite"], ["--continue"]):
        told = run("--endpoint", serve(EchoService()), *way, clip, "-o", "/dev/null", *options)
        assert f"/dev/null: {len(CFR)} frames" in told

    assert Path("/dev/null").is_char_device()
    assert Path("/dev/null").stat().st_rdev == before


def test_a_file_that_is_open_already_is_written_behind_what_it_holds(serve, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.write_bytes(b"before")
    arguments = ["--endpoint", serve(EchoService()), "-sv", make_clip(tmp_path / "clip.mp4"), "-o", "/dev/stdout"]
    with made.open("ab") as file:
        subprocess.run([*PROGRAM, *map(str, arguments)], stdout=file, timeout=50, check=True)

    (tmp_path / "read.mp4").write_bytes(made.read_bytes().removeprefix(b"before"))
    assert made.read_bytes().startswith(b"before")
    assert len(frame_times(tmp_path / "read.mp4")) == len(CFR)


def test_a_pipe_is_streamed_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mkv")
    assert "needs -sv" in run(tmp_path / "pipe.mkv", code=2)


@pytest.mark.parametrize(
    "arguments",
    [["-sv", "{clip}", "--effect", "image", "--background", "{pipe}"], ["sheet", "{clip}", "{clip}", "{pipe}"]],
)
def test_what_is_read_again_is_no_pipe(tmp_path: Path, arguments: list[str]) -> None:
    clip, pipe = make_clip(tmp_path / "clip.mp4"), tmp_path / "pipe.mp4"
    os.mkfifo(pipe)

    assert "must be" in run(*(argument.format(clip=clip, pipe=pipe) for argument in arguments), code=2)


def test_an_index_at_the_end_behind_a_pipe(serve, tmp_path: Path) -> None:
    content = write_with_index_at_end(tmp_path).read_bytes()
    with written_into(tmp_path / "pipe.mp4", content) as fifo:
        told = run("--endpoint", serve(EchoService()), "-sv", fifo, "-o", tmp_path / "made.mp4", code=3)

    assert "faststart" in told


# ------------------------------------------------------------------ titles


@pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_a_title_that_is_no_utf_8_is_kept(serve, tmp_path: Path, ending: str, way: list[str]) -> None:
    title, given, made = (
        b"caf\xe9".decode(errors="surrogateescape"),
        tmp_path / f"given.{ending}",
        tmp_path / "made.mkv",
    )
    with (
        av.open(make_clip(tmp_path / "clip.mp4")) as source,
        av.open(given, "w", **METADATA_OPTIONS) as container,
    ):
        container.metadata["title"] = title
        pictures = container.add_stream_from_template(source.streams.video[0])
        pictures.metadata["title"] = title
        copy_pictures(source, container, pictures)
    run("--endpoint", serve(EchoService()), *way, given, "-o", made)

    with av.open(made, **METADATA_OPTIONS) as container:
        assert container.metadata["title"] == title
        assert len(list(container.decode(video=0))) == len(CFR)


# ------------------------------------------------------------------ what cannot be


def test_an_address_of_a_kind_that_is_not_there(tmp_path: Path) -> None:
    told = run("-sv", "srt://127.0.0.1:9", "-o", tmp_path / "made.mp4", code=3)
    assert "srt://127.0.0.1:9: this kind of address is unknown. Choose one of http://" in told
    assert "srt" not in run("segment", "--help")


def test_a_result_cannot_go_to_an_address_of_a_kind_that_is_not_there(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    told = run("--endpoint", serve(EchoService()), "-sv", clip, "-o", "srt://127.0.0.1:9", code=1)

    assert "srt://127.0.0.1:9 is of no known kind. Choose one of rtmp://" in told


def write_with_index_at_end(folder: Path) -> Path:
    """A clip whose index comes a megabyte after its pictures: more than a reader keeps."""
    path = make_clip(folder / "clip.mp4")
    whole, size = path.read_bytes(), 1 << 20
    at = whole.index(b"moov") - 4
    assert whole.index(b"mdat") < at
    path.write_bytes(whole[:at] + size.to_bytes(4, "big") + b"free" + bytes(size - 8) + whole[at:])
    return path


def test_an_index_at_the_end_of_what_cannot_go_back(tmp_path: Path) -> None:
    clip = write_with_index_at_end(tmp_path)
    told = run("-sv", "-", "-o", tmp_path / "made.mp4", piped=clip.read_bytes(), code=3)

    assert "stands at its end" in told
    assert "segclient -sv - < clip.mp4" in told
    assert "faststart" in told


@pytest.mark.parametrize("options", [["-sv"], ["-sv", "--reconnect-seconds", "30"], []])
def test_an_index_at_the_end_behind_a_server_that_gives_whole_files(
    serve, web: str, tmp_path: Path, options: list[str]
) -> None:
    write_with_index_at_end(tmp_path)
    made = tmp_path / "made.mp4"

    assert "faststart" in run("--endpoint", serve(EchoService()), *options, f"{web}/clip.mp4", "-o", made, code=3)


def test_standard_input_is_streamed_only() -> None:
    assert "needs -sv" in run("-", code=2)


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("nothing.mp4", "Check its name."),
        ("rtsp://127.0.0.1:9/camera", "Check its name, and that it is there."),
        ("v4l2:/dev/nothing", "Check its name, and that it is there."),
    ],
)
def test_what_is_not_there_gets_advice_of_its_kind(source: str, advice: str, tmp_path: Path) -> None:
    assert run("-sv", source, "-o", tmp_path / "made.mp4", code=3).endswith(f"{advice}\n")


# ------------------------------------------------------------------ what ends before its end


class BreaksOff:
    """A container whose source fails instead of ending."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, *streams: Any) -> Iterator[Any]:
        yield from (packet for packet in self._container.demux(*streams) if packet.size)
        raise av.error.FFmpegError(5, "Input/output error")


def read_what_breaks_off(source: Path | str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """The number of packets that come, and the notes."""
    monkeypatch.setattr(demuxer, "open_input", lambda _: BreaksOff(clip))
    with Demuxer(source) as reading:
        return len(list(reading)), reading.notes


@pytest.mark.parametrize("source", ["rtmp://host/live", "udp://0.0.0.0:5000", "v4l2:/dev/video0"])
def test_a_live_source_that_breaks_off_has_ended(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, notes = read_what_breaks_off(source, make_clip(tmp_path / "clip.mp4"), monkeypatch)

    assert count == len(CFR)
    assert notes == [f"The source broke off after frame {len(CFR)}: Input/output error."]


def test_a_file_that_breaks_off_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.mp4")

    with pytest.raises(InputError, match=f"damaged after frame {len(CFR)}"):
        read_what_breaks_off(clip, clip, monkeypatch)


# ------------------------------------------------------------------ what a container cannot hold


def test_rounded_times_are_named(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", tuple(range(0, 20 * 1001, 1001)), time_base=Fraction(1, 30000))
    endpoint = serve(EchoService())
    rounded = run("--endpoint", endpoint, "-sv", clip, "-o", tmp_path / "made.mkv")
    exact = run("--endpoint", endpoint, "-sv", clip, "-o", tmp_path / "made.mov")

    assert "made.mkv counts in 1/1000 s; the frames' times were rounded to that." in rounded
    assert "note" not in exact
    assert frame_times(tmp_path / "made.mov") == frame_times(clip) != frame_times(tmp_path / "made.mkv")


def test_a_container_without_times_is_named(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")

    assert "stores no times" in run("--endpoint", serve(EchoService()), "-sv", clip, "-o", tmp_path / "made.avi")


@pytest.mark.parametrize("ending", ["ts", "avi", "mkv"])
def test_turned_pictures_and_chapters_are_named_where_they_get_lost(serve, tmp_path: Path, ending: str) -> None:
    clip = Recipe(rotation=90, chapters=True).write(tmp_path)
    told = run("--endpoint", serve(EchoService()), "-sv", clip, "-o", tmp_path / f"made.{ending}")

    assert ("cannot say that its pictures are turned" in told) == (ending != "mkv")
    assert ("holds no chapters" in told) == (ending != "mkv")


def test_subtitles_that_no_reader_would_find_are_left_out_and_named(serve, tmp_path: Path) -> None:
    clip, made = Recipe(ending="mkv", subtitles=True, audio_tracks=1).write(tmp_path), tmp_path / "made.ts"
    told = run("--endpoint", serve(EchoService()), "-sv", clip, "-o", made)

    assert "cannot hold the input's srt subtitle" in told
    with av.open(made) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_pictures_that_no_reader_would_find_are_refused(tmp_path: Path) -> None:
    with (
        Demuxer(make_clip(tmp_path / "clip.mp4")) as reading,
        OutputFile(tmp_path / "made.ts", reading.format) as output,
        pytest.raises(OutputError, match="cannot hold mjpeg video"),
    ):
        Muxer(output, reading.format, codec="mjpeg", extradata=b"", size=(64, 48))


@pytest.mark.parametrize(("ending", "codec"), [("mov", "flac"), ("mov", "libopus"), ("ts", "flac")])
def test_sound_without_a_place_is_refused_before_a_frame_is_sent(
    serve, tmp_path: Path, ending: str, codec: str
) -> None:
    clip, service = make_clip(tmp_path / "clip.mp4"), EchoService()
    add_sound(clip, tmp_path / "given.mkv", codec)
    told = run("--endpoint", serve(service), "-sv", tmp_path / "given.mkv", "-o", tmp_path / f"made.{ending}", code=1)

    assert f"{codec.removeprefix('lib')} audio (track 1). Choose an output that ends in .mkv." in told


def add_sound(clip: Path, target: Path, codec: str) -> None:
    """Put a second of silence beside a clip's pictures."""
    with av.open(clip) as source, av.open(target, "w") as container:
        pictures = container.add_stream_from_template(source.streams.video[0])
        sound = container.add_stream(codec, rate=48000)
        copy_pictures(source, container, pictures)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 48000), np.int16), "s16", "stereo")
        silence.sample_rate, silence.pts = 48000, 0
        container.mux([*sound.encode(silence), *sound.encode(None)])


def copy_pictures(source: Any, container: Any, pictures: Any) -> None:
    for packet in source.demux(video=0):
        if packet.size:
            packet.stream = pictures
            container.mux(packet)


def test_subtitles_of_mp4_in_matroska_get_advice_that_helps(serve, tmp_path: Path) -> None:
    clip, given = make_clip(tmp_path / "clip.mp4"), tmp_path / "given.mp4"
    with av.open(clip) as source, av.open(given, "w") as container:
        pictures = container.add_stream_from_template(source.streams.video[0])
        lines = container.add_mux_stream("mov_text")
        copy_pictures(source, container, pictures)
        text = av.Packet(b"\x00\x05hello")
        text.pts, text.dts, text.duration, text.time_base, text.stream = 0, 0, 500, Fraction(1, 1000), lines
        container.mux(text)
    told = run("--endpoint", serve(EchoService()), "-sv", given, "-o", tmp_path / "made.mkv")

    assert "mov_text subtitle (track 1); it was left out, an output that ends in .mp4 would keep it" in told
