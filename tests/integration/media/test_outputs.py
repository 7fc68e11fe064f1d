"""What a user may ask for: effects drawn here and there, alpha, masks as text, several outputs of one pass."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from checker import check_times, check_tracks, psnr, read_content
from numbered_clips import Recipe
from raw_client import CLIPS
from segclient_runs import USAGE, run, succeed

from segtriton_server.launch import TritonProcess

CARPHONE = CLIPS / "carphone_pristine.mp4"
GREEN, RED = (0, 177, 64), (200, 20, 20)
IN_RED = ("--color", "200,20,20")


def alpha_of(path: Path) -> list[np.ndarray]:
    """The alpha planes of a video or of an image, as [h, w]."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create("libvpx-vp9", "r") if stream.codec_context.name == "vp9" else None
        if decoder is None:
            frames = list(container.decode(stream))
        else:
            frames = [frame for packet in container.demux(stream) if packet.size for frame in decoder.decode(packet)]
    return [np.asarray(frame.to_ndarray(format="rgba"))[..., 3] for frame in frames]


@pytest.fixture(scope="module")
def masks(server: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bare masks of the clip with a person."""
    path = tmp_path_factory.mktemp("masks") / "masks.mkv"
    succeed(server, "-sv", CARPHONE, "--encoder", "mask", "-o", path)
    return path


# ------------------------------------------------------------------ drawn here as there


@pytest.mark.parametrize("effect", ["blur", "overlay", "color", "mask"])
def test_the_client_draws_what_the_server_draws(server: TritonProcess, tmp_path: Path, effect: str) -> None:
    there, here = tmp_path / "there.mp4", tmp_path / "here.mp4"
    # Bare masks travel at the network's size, which edges that are drawn to the full-size picture's do not survive.
    options = ("--effect", effect, "--strength", "0.6", *IN_RED, "--refine-edges", "0")
    succeed(server, "-sv", CARPHONE, *options, "-o", there)
    succeed(server, "-sv", CARPHONE, *options, "--encoder", "mask", "-o", here)

    expected, got = read_content(there), read_content(here)
    assert got.times == expected.times == read_content(CARPHONE).times
    check_alike(pictures_of(there), pictures_of(here))


def pictures_of(path: Path) -> np.ndarray:
    """RGB [n, h, w, 3]."""
    return np.stack([picture.rgb for picture in read_content(path).pictures])


def check_alike(expected: np.ndarray, got: np.ndarray) -> None:
    worst = min(psnr(a, b) for a, b in zip(expected, got, strict=True))
    assert worst > 35, f"PSNR {worst:.1f} dB"


def test_the_client_draws_in_the_color_that_is_asked_for(server: TritonProcess, tmp_path: Path, masks: Path) -> None:
    made = tmp_path / "made.mp4"
    succeed(server, "-sv", CARPHONE, "--effect", "color", *IN_RED, "--encoder", "mask", "-o", made)

    check_red_behind_the_person(made, masks)


def check_red_behind_the_person(made: Path, masks: Path) -> None:
    for seen, given, mask in frames_of(made, CARPHONE, masks):
        assert np.abs(seen[mask < 20] - RED).mean() < 6
        assert np.abs(seen[mask > 235] - given[mask > 235]).mean() < 6


def test_several_effects_come_out_of_one_pass(server: TritonProcess, tmp_path: Path) -> None:
    given, made = Recipe(audio_tracks=2).write(tmp_path), tmp_path / "made"
    succeed(server, "-sv", given, "--effect", "mask", "--effect", "overlay", "--effect", "cutout", "-o", made)

    assert sorted(path.name for path in made.iterdir()) == ["clip_cutout.webm", "clip_mask.mp4", "clip_overlay.mp4"]
    before = read_content(given)
    for name in ("clip_mask.mp4", "clip_overlay.mp4"):
        after = read_content(made / name)
        check_times(before.times, after.times, after.tick)
        check_tracks(before, after)


def test_the_server_draws_several_effects_from_one_pass_as_each_alone(server: TritonProcess, tmp_path: Path) -> None:
    given, made, report = Recipe(audio_tracks=2).write(tmp_path), tmp_path / "made", tmp_path / "report.json"
    background = write_picture(tmp_path / "red.png", RED)
    image = ("--effect", "image", "--background", background)
    succeed(server, "-sv", given, "--effect", "blur", "--effect", "mask", *image, "-o", made, "--report", report)

    told = json.loads(report.read_text())
    assert (told["drawn_here"], told["notes"]) == ([], [])
    before = read_content(given)
    for effect, options in (("blur", ()), ("mask", ()), ("image", image[2:])):
        alone, after = tmp_path / f"{effect}.mp4", read_content(made / f"clip_{effect}.mp4")
        succeed(server, "-sv", given, "--effect", effect, *options, "-o", alone)
        check_times(before.times, after.times, after.tick)
        check_tracks(before, after)
        check_alike(pictures_of(alone), pictures_of(made / f"clip_{effect}.mp4"))


# ------------------------------------------------------------------ backgrounds


def write_picture(path: Path, *halves: tuple[int, int, int]) -> Path:
    """A picture with these colours side by side."""
    row = np.repeat(np.array(halves, np.uint8), 160 // len(halves), axis=0)
    av.VideoFrame.from_ndarray(np.tile(row, (90, 1, 1)), "rgb24").save(path)
    return path


@pytest.mark.parametrize("options", [(), ("--encoder", "mask")], ids=["plain", "mask"])
def test_a_picture_behind_the_person(
    server: TritonProcess, tmp_path: Path, masks: Path, options: tuple[str, ...]
) -> None:
    background, made = write_picture(tmp_path / "red.png", RED), tmp_path / "made.mp4"
    succeed(server, "-sv", CARPHONE, "--effect", "image", "--background", background, *options, "-o", made)

    check_red_behind_the_person(made, masks)


def test_each_part_of_a_picture_is_mixed_as_the_server_mixes_its_color(server: TritonProcess, tmp_path: Path) -> None:
    """The server draws no pictures, but it draws the colours of which this one is made."""
    background, made = write_picture(tmp_path / "halves.png", GREEN, RED), tmp_path / "made.mp4"
    image = ("--effect", "image", "--background", background)
    succeed(server, "-sv", CARPHONE, *image, "--encoder", "mask", "-o", made)
    for color in (GREEN, RED):
        options = ("--effect", "color", "--color", ",".join(map(str, color)))
        succeed(server, "-sv", CARPHONE, *options, "-o", tmp_path / f"{color[0]}.mp4")

    got, green, red = (pictures_of(path) for path in (made, tmp_path / "0.mp4", tmp_path / "200.mp4"))
    middle, border = got.shape[2] // 2, 8  # where the colours meet, coding mixes them
    check_alike(green[:, :, : middle - border], got[:, :, : middle - border])
    check_alike(red[:, :, middle + border :], got[:, :, middle + border :])


def frames_of(*paths: Path) -> list[tuple[np.ndarray, ...]]:
    """The pictures of some videos side by side; the last one's are masks, enlarged to the first one's size."""
    contents = [read_content(path) for path in paths]
    height, width = contents[0].pictures[0].rgb.shape[:2]
    rows = []
    for *pictures, mask in zip(*(content.pictures for content in contents), strict=True):
        grey = av.VideoFrame.from_ndarray(mask.rgb.mean(axis=-1).astype(np.uint8), "gray")
        large = grey.reformat(width, height, interpolation="BILINEAR").to_ndarray()
        rows.append((*(picture.rgb for picture in pictures), large))
    return rows


@pytest.mark.whole
def test_a_video_behind_the_person_begins_again(server: TritonProcess, tmp_path: Path) -> None:
    background, made = tmp_path / "colors.mp4", tmp_path / "made.mp4"
    with av.open(background, "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height = 176, 144
        for color in (GREEN, RED):
            frame = av.VideoFrame.from_ndarray(np.full((144, 176, 3), color, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    succeed(server, "-sv", CARPHONE, "--effect", "image", "--background", background, "-o", made)

    reds = [picture.rgb[:20, :20, 0].mean() > 100 for picture in read_content(made).pictures]
    changes = [at for at in range(1, len(reds)) if reds[at] != reds[at - 1]]
    assert not reds[0]
    assert len(changes) >= 5
    assert {later - earlier for earlier, later in pairwise(changes)} <= {5, 6, 7}


def test_a_background_and_its_effect_go_together(server: TritonProcess, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "red.png", RED)

    assert run(server, "-sv", CARPHONE, "--effect", "image", "-o", tmp_path / "x.mp4").returncode == USAGE
    assert run(server, "-sv", CARPHONE, "--background", picture, "-o", tmp_path / "x.mp4").returncode == USAGE


# ------------------------------------------------------------------ alpha


@pytest.mark.parametrize("ending", ["webm", "mov", "mkv"])
def test_a_cutout_has_true_alpha(server: TritonProcess, tmp_path: Path, masks: Path, ending: str) -> None:
    made = tmp_path / f"made.{ending}"
    succeed(server, "-sv", CARPHONE, "--effect", "cutout", "-o", made)

    alphas = alpha_of(made)
    assert len(alphas) == 120
    for alpha, (_, mask) in zip(alphas, frames_of(CARPHONE, masks), strict=True):
        assert alpha[mask < 20].mean() < 5
        assert alpha[mask > 235].mean() > 250
    check_times(read_content(CARPHONE).times, read_content(made).times, Fraction(1, 1000))


@pytest.mark.whole
def test_a_cutout_as_numbered_images(server: TritonProcess, tmp_path: Path) -> None:
    succeed(server, "-sv", Recipe().write(tmp_path), "--effect", "cutout", "-o", tmp_path / "%02d.png")

    assert alpha_of(tmp_path / "01.png")[0].shape == (128, 192)


@pytest.mark.whole
def test_a_still_cut_out(server: TritonProcess, tmp_path: Path) -> None:
    with av.open(str(CARPHONE)) as container:
        next(container.decode(video=0)).save(tmp_path / "still.png")
    succeed(server, tmp_path / "still.png", "--effect", "cutout")

    (alpha,) = alpha_of(tmp_path / "still_cutout.png")
    assert alpha.max() == 255
    assert alpha.min() == 0


# ------------------------------------------------------------------ masks as text


def test_masks_as_text(server: TritonProcess, tmp_path: Path, masks: Path) -> None:
    made = tmp_path / "masks.jsonl"
    succeed(server, "-sv", CARPHONE, "-o", made)

    lines = [json.loads(line) for line in made.read_text().splitlines()]
    pictures = read_content(masks).pictures
    assert [line["time"] for line in lines] == pytest.approx([float(picture.time) for picture in pictures], abs=1e-3)
    for line, picture in zip(lines, pictures, strict=True):
        assert np.array_equal(unpack(line["counts"], line["size"]), picture.rgb.mean(axis=-1) > 127.5)


def unpack(counts: list[int], size: list[int]) -> np.ndarray:
    """COCO's run lengths as a mask [h, w]."""
    runs = [np.full(count, at % 2 == 1) for at, count in enumerate(counts)]
    return np.concatenate(runs).reshape(size, order="F")
