"""What is done to masks, asked for by the command's options and seen in the result."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
from checker import read_content
from raw_client import CLIPS
from segclient_runs import USAGE, run, succeed

from segtriton_server.launch import TritonProcess

pytestmark = pytest.mark.whole
CARPHONE = CLIPS / "carphone_pristine.mp4"


UNTREATED = ("--smooth", "0", "--refine-edges", "0", "--no-mirror")


def masks(server: TritonProcess, folder: Path, *options: object) -> np.ndarray:
    """The masks of the clip with no treatment but the options, [n, h, w], whole numbers in 0..255."""
    return treated(server, folder, *UNTREATED, *options)


def treated(server: TritonProcess, folder: Path, *options: object) -> np.ndarray:
    made = folder / "masks.mkv"
    succeed(server, "-sv", CARPHONE, "--encoder", "mask", "-o", made, *options)
    return np.rint([picture.rgb.mean(axis=-1) for picture in read_content(made).pictures])


@pytest.fixture(scope="module")
def plain(server: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return masks(server, tmp_path_factory.mktemp("plain"))


def flicker(found: np.ndarray) -> float:
    """The mean change from frame to frame; movement is in all masks the same."""
    return float(np.abs(np.diff(found, axis=0)).mean())


def test_smooth(server: TritonProcess, tmp_path: Path, plain: np.ndarray) -> None:
    steady = masks(server, tmp_path, "--smooth", "0.8")

    assert flicker(steady) < 0.75 * flicker(plain)
    assert np.abs(steady - plain).mean() < 6


@pytest.mark.parametrize(("feather", "sign"), [("0.6", 1), ("-0.6", -1)])
def test_feather(server: TritonProcess, tmp_path: Path, plain: np.ndarray, feather: str, sign: int) -> None:
    assert sign * (masks(server, tmp_path, "--feather", feather) - plain).mean() > 2


def test_refine_edges(server: TritonProcess, tmp_path: Path, plain: np.ndarray) -> None:
    refined = masks(server, tmp_path, "--refine-edges", "1")

    assert 0.5 < np.abs(refined - plain).mean() < 20


def test_mirror_is_the_mean_with_the_mask_of_the_mirrored_clip(
    server: TritonProcess, tmp_path: Path, plain: np.ndarray
) -> None:
    both = masks(server, tmp_path, "--mirror")

    assert 0.5 < np.abs(both - plain).mean() < 10
    assert np.abs(both - plain).max() <= 128  # one half is the plain mask


def test_what_nobody_asks_for_is_the_default(server: TritonProcess, tmp_path: Path) -> None:
    default = treated(server, tmp_path)
    asked = treated(server, tmp_path, "--smooth", "0.7", "--refine-edges", "1", "--mirror")
    live = treated(server, tmp_path, "--live", "--max-latency", "60")
    of_live = treated(server, tmp_path, "--smooth", "0.7", "--refine-edges", "0", "--no-mirror")

    assert np.array_equal(default, asked)
    assert np.array_equal(live, of_live)


def test_frames_without_the_class_are_counted(server: TritonProcess, tmp_path: Path) -> None:
    counts = {}
    for clip in (CARPHONE, make_plain_clip(tmp_path / "grey.mp4")):
        report = tmp_path / "report.json"
        succeed(server, "-sv", clip, "-o", tmp_path / "made.mp4", "--report", report)
        told = json.loads(report.read_text())
        counts[clip.name] = told["frames_without_class"], told["frames_out"]

    assert counts == {CARPHONE.name: (0, 120), "grey.mp4": (12, 12)}


def make_plain_clip(path: Path) -> Path:
    """Twelve grey pictures: nobody is in them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for _ in range(12):
            picture = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 120, np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_invert(server: TritonProcess, tmp_path: Path, plain: np.ndarray) -> None:
    assert np.abs(masks(server, tmp_path, "--invert") + plain - 255).max() <= 2


def test_class_name(server: TritonProcess, tmp_path: Path, plain: np.ndarray) -> None:
    background, person = (masks(server, tmp_path, "--class-name", name) for name in ("background", "person"))

    assert np.array_equal(person, plain)
    assert np.array_equal(background, 255 - plain)


def test_mask_every(server: TritonProcess, tmp_path: Path, plain: np.ndarray) -> None:
    reused = masks(server, tmp_path, "--mask-every", "5")
    same = np.abs(np.diff(reused, axis=0)).max(axis=(1, 2)) == 0

    assert len(reused) == len(plain)
    assert same.mean() > 0.2  # those for which the network did not run
    assert np.abs(reused - plain).mean() < 6


@pytest.mark.parametrize("inverting", [("--invert",), ("--class-name", "background")], ids=["invert", "class"])
def test_the_drawn_picture_uses_the_changed_mask(
    server: TritonProcess, tmp_path: Path, inverting: tuple[str, ...]
) -> None:
    pictures = {}
    for name, options in {"plain": (), "inverted": inverting}.items():
        made = tmp_path / f"{name}.mp4"
        succeed(server, "-sv", CARPHONE, "--effect", "color", "--color", "255,0,0", "-o", made, *options)
        pictures[name] = read_content(made).pictures[60].rgb

    red = {name: (rgb[..., 0] > 200) & (rgb[..., 1] < 60) for name, rgb in pictures.items()}
    assert red["plain"].mean() > 0.2
    assert red["inverted"].mean() > 0.2
    assert (red["plain"] & red["inverted"]).mean() < 0.05


def test_the_report_tells_what_it_costs(server: TritonProcess, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ("--smooth", "0.5", "--refine-edges", "1", "--report", report)
    succeed(server, "-sv", CARPHONE, "-o", tmp_path / "made.mp4", *options)

    assert json.loads(report.read_text())["stages"]["matte"] > 0


def test_frames_in_batches_have_no_matte(server: TritonProcess, tmp_path: Path) -> None:
    assert run(server, CARPHONE, "--smooth", "0.5", "-o", tmp_path / "made.mp4").returncode == USAGE
