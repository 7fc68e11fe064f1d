"""What users name as inputs and outputs, and what they are told when it cannot be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click
import pytest
from client_clips import CFR, frame_times, make_clip
from echo_service import EchoService
from segclient_process import run

from segtriton_client.runs import choose_outputs
from segtriton_client.sources import expand

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


# ------------------------------------------------------------------ what a container does to times


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
