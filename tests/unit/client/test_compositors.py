"""What the client draws shows the subject's own colour at soft edges, as the server does."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segtriton_client.background import Background
from segtriton_client.compositors import make_compose, subject_of
from segtriton_protocol import OutputSpec
from segtriton_server.frames import Picture
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import effect_of

SIZE_HW = 360, 640
HAIR, WALL, GREEN = (40, 30, 25), (240, 230, 200), (0, 177, 64)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    """A disc with a soft edge."""
    rows, columns = np.mgrid[0:144, 0:256]
    return np.clip((50 - np.hypot(rows - 70, columns - 120)) * 12 + 128, 0, 255).astype(np.uint8)


def mixed(mask: np.ndarray, subject: object, rest: object) -> np.ndarray:
    share = subject_of(mask, SIZE_HW)[..., None] / 255
    return np.rint(share * subject + (1 - share) * rest).astype(np.uint8)


def edges_of(mask: np.ndarray) -> np.ndarray:
    subject = subject_of(mask, SIZE_HW)
    return (subject > 5) & (subject < 250)


def draw(
    effect: str, rgb: np.ndarray, mask: np.ndarray, *, despill: bool, background: Background | None = None
) -> np.ndarray:
    spec = OutputSpec(color_rgb=GREEN, despill=despill)
    return make_compose(effect, spec, background)(rgb, mask, Fraction(0))


@pytest.mark.parametrize(("hair", "wall"), [(HAIR, WALL), (WALL, HAIR)])
def test_a_cutout_has_the_subjects_own_colour_wherever_it_shows(
    mask: np.ndarray, hair: tuple[int, int, int], wall: tuple[int, int, int]
) -> None:
    plain, clean = (draw("cutout", mixed(mask, hair, wall), mask, despill=on) for on in (False, True))

    np.testing.assert_array_equal(clean[..., 3], plain[..., 3])
    alpha = plain[..., 3:] / 255
    errors = [np.abs((drawn[..., :3] - hair) * alpha)[edges_of(mask)] for drawn in (plain, clean)]
    assert errors[0].mean() > 20
    assert errors[1].mean() < 2.5
    sure = np.isin(plain[..., 3], (0, 255))
    np.testing.assert_array_equal(clean[sure], plain[sure])


def test_a_picture_behind_shows_no_fringe(mask: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "green.png"
    av.VideoFrame.from_ndarray(np.full((*SIZE_HW, 3), GREEN, np.uint8), "rgb24").save(path)
    source, expected = mixed(mask, HAIR, WALL), mixed(mask, HAIR, GREEN).astype(int)
    plain, clean = (draw("image", source, mask, despill=on, background=Background(path)) for on in (False, True))

    assert np.abs(plain - expected)[edges_of(mask)].mean() > 20
    assert np.abs(clean - expected)[edges_of(mask)].mean() < 2.5


@pytest.mark.parametrize("despill", [False, True])
def test_a_colour_is_drawn_as_the_server_draws_it(mask: np.ndarray, despill: bool) -> None:
    random = np.random.default_rng(4)
    coarse = random.integers(0, 256, (24, 40, 3), np.uint8)
    source = coarse.repeat(15, axis=0).repeat(16, axis=1)
    spec = OutputSpec(effect="color", color_rgb=GREEN, despill=despill)
    expected = np.empty_like(source)
    create_compositor(effect_of(spec), SIZE_HW).compose(Picture((source,)), mask, Picture((expected,)))

    found = draw("color", source, mask, despill=despill)
    assert np.abs(found.astype(int) - expected)[edges_of(mask)].mean() < 2


def test_a_picture_without_soft_edges_is_left_as_it_is() -> None:
    source = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    drawn = draw("cutout", source, np.full((144, 256), 255, np.uint8), despill=True)
    np.testing.assert_array_equal(drawn[..., :3], source)
