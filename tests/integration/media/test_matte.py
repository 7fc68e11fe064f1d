"""What is done to masks, asked for by the command's options and seen in the result."""

import json
from pathlib import Path

import numpy as np
import pytest
from checker import read_content
from raw_client import CLIPS
from segclient_runs import USAGE, run, succeed

from segtriton_server.launch import TritonProcess

pytestmark = pytest.mark.whole
CARPHONE = CLIPS / "carphone_pristine.mp4"


def masks(server: TritonProcess, folder: Path, *options: object) -> np.ndarray:
    """The masks of the clip, [n, h, w], whole numbers in 0..255."""
    made = folder / "masks.mkv"
    succeed(server, "-sv", CARPHONE, "--encoder", "mask", "-o", made, *options)
    return np.rint([picture.rgb.mean(axis=-1) for picture in read_content(made).pictures])


@pytest.fixture(scope="module")
def plain(server: TritonProcess, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return masks(server, tmp_path_factory.mktemp("plain"))


def flicker(found: np.ndarray) -> float:
    """The mean of small changes from frame to frame: large ones are movement."""
    change = np.abs(np.diff(found, axis=0))
    return float(change[change < 64].mean())


def test_smooth(server: TritonProcess, tmp_path: Path, plain: np.ndarray) -> None:
    steady = masks(server, tmp_path, "--smooth", "0.8")

    assert flicker(steady) < 0.7 * flicker(plain)
    assert np.abs(steady - plain).mean() < 6


@pytest.mark.parametrize(("feather", "sign"), [("0.6", 1), ("-0.6", -1)])
def test_feather(server: TritonProcess, tmp_path: Path, plain: np.ndarray, feather: str, sign: int) -> None:
    assert sign * (masks(server, tmp_path, "--feather", feather) - plain).mean() > 2


def test_refine_edges(server: TritonProcess, tmp_path: Path, plain: np.ndarray) -> None:
    refined = masks(server, tmp_path, "--refine-edges", "1")

    assert 0.5 < np.abs(refined - plain).mean() < 20


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
