"""Soft edges show the subject's own colour before a new background, and no fringe of the old one."""

from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_server.frames import SAMPLE_TYPES, ColorMatrix, ColorRange, Picture
from segtriton_server.vision.color import rgb_to_yuv
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.grid import Grid
from segtriton_server.vision.layers import draw_subject

Mask = NDArray[np.uint8]
MakePicture = Callable[..., Picture]
EmptyLike = Callable[[Picture], Picture]
Levels = tuple[int, int, int]

DARK, BRIGHT, MIDDLE = (30, 110, 150), (220, 140, 100), (120, 60, 200)  # Y, U, V
CASES = [(DARK, BRIGHT, MIDDLE), (BRIGHT, DARK, MIDDLE), (BRIGHT, DARK, BRIGHT), (DARK, BRIGHT, DARK)]
SIZE = (360, 640)


@pytest.fixture
def soft_mask(round_mask: Mask) -> Mask:
    return cv2.GaussianBlur(round_mask, (0, 0), 8)  # type: ignore[return-value]


def flat(levels: Levels, size_hw: tuple[int, int] = SIZE, bits: int = 8) -> Picture:
    halves = -(-size_hw[0] // 2), -(-size_hw[1] // 2)
    shapes = (size_hw, halves, halves)
    planes = (
        np.full(shape, level << bits - 8, SAMPLE_TYPES[bits]) for shape, level in zip(shapes, levels, strict=True)
    )
    return Picture(tuple(planes))


def shares(mask: Mask, picture: Picture) -> list[NDArray[np.float64]]:
    """How much each pixel of each plane shows of the subject."""
    subject = np.empty(Grid(picture.size_hw).size_hw, np.uint8)
    draw_subject(mask, subject)
    sizes = (plane.shape[1::-1] for plane in picture.planes)
    return [cv2.resize(subject, size, interpolation=cv2.INTER_LINEAR) / 255.0 for size in sizes]


def mixed(mask: Mask, subject: Picture, rest: Picture) -> Picture:
    planes = [
        np.rint(share * inside + (1 - share) * outside).astype(inside.dtype)
        for share, inside, outside in zip(shares(mask, subject), subject.planes, rest.planes, strict=True)
    ]
    return Picture(tuple(planes))


def draw(spec: EffectSpec, picture: Picture, mask: Mask, behind: Picture | None = None) -> Picture:
    out = Picture(tuple(np.zeros_like(plane) for plane in picture.planes))
    create_compositor(spec, picture.size_hw).compose(picture, mask, out, behind)
    return out


def errors_along_edges(found: Picture, expected: Picture, mask: Mask) -> tuple[float, float]:
    """The mean and the largest error where both are mixed, in units of 8 bits."""
    unit = 1 << found.bits - 8
    differences = [
        np.abs(plane.astype(float) - wanted)[(share > 0.02) & (share < 0.98)] / unit
        for plane, wanted, share in zip(found.planes, expected.planes, shares(mask, found), strict=True)
    ]
    together = np.concatenate(differences)
    return float(together.mean()), float(together.max())


@pytest.mark.parametrize(("colors", "bits"), list(product(CASES, (8, 10))))
def test_a_flat_subject_before_a_flat_wall_comes_out_as_if_the_wall_had_not_been_there(
    soft_mask: Mask, colors: tuple[Levels, Levels, Levels], bits: int
) -> None:
    subject, wall, behind = (flat(levels, bits=bits) for levels in colors)
    source, expected = mixed(soft_mask, subject, wall), mixed(soft_mask, subject, behind)

    mean, most = errors_along_edges(
        draw(EffectSpec("image", despill=True), source, soft_mask, behind), expected, soft_mask
    )
    fringe, worst = errors_along_edges(draw(EffectSpec("image"), source, soft_mask, behind), expected, soft_mask)

    assert (mean < 2, most < 6) == (True, True), (mean, most)
    assert (fringe > 8, worst > 40) == (True, True), (fringe, worst)


@pytest.mark.parametrize("is_rgb", [False, True], ids=["yuv", "rgb"])
def test_a_colour_shows_no_fringe(soft_mask: Mask, is_rgb: bool) -> None:
    color = (0, 177, 64)
    subject, wall, behind = (
        flat(rgb_to_yuv(rgb, ColorMatrix.BT709, ColorRange.LIMITED)) for rgb in ((40, 30, 25), (240, 230, 200), color)
    )
    source, expected = mixed(soft_mask, subject, wall), mixed(soft_mask, subject, behind)
    if is_rgb:
        source, expected = (Picture((mixed_rgb(soft_mask, (40, 30, 25), rest),)) for rest in ((240, 230, 200), color))
    plain, clean = (draw(EffectSpec("color", color_rgb=color, despill=on), source, soft_mask) for on in (False, True))

    assert errors_along_edges(clean, expected, soft_mask)[0] < 2.5
    assert errors_along_edges(plain, expected, soft_mask)[0] > 16


def mixed_rgb(mask: Mask, subject: Levels, rest: Levels) -> NDArray[np.uint8]:
    (share,) = shares(mask, Picture((np.zeros((*SIZE, 3), np.uint8),)))
    return np.rint(share[..., None] * subject + (1 - share[..., None]) * rest).astype(np.uint8)


@pytest.mark.parametrize("bits", [8, 10])
def test_what_is_surely_subject_or_surely_not_is_not_touched(
    make_picture: MakePicture, soft_mask: Mask, bits: int
) -> None:
    picture = make_picture(SIZE, bits=bits)
    behind = make_picture(SIZE, bits=bits, seed=9)
    plain, clean = (draw(EffectSpec("image", despill=on), picture, soft_mask, behind) for on in (False, True))

    for one, other, share in zip(plain.planes, clean.planes, shares(soft_mask, picture), strict=True):
        sure = cv2.erode(((share == 0) | (share == 1)).astype(np.uint8), np.ones((9, 9))) > 0
        np.testing.assert_array_equal(one[sure], other[sure])


@pytest.mark.parametrize("effect", ["blur", "overlay", "mask"])
def test_effects_that_show_the_old_background_are_as_before(
    make_picture: MakePicture, soft_mask: Mask, effect: str
) -> None:
    picture = make_picture(SIZE)
    plain, clean = (draw(EffectSpec(effect, despill=on), picture, soft_mask) for on in (False, True))  # type: ignore[arg-type]
    for one, other in zip(plain.planes, clean.planes, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 2), (1, 9), (7, 1), (65, 33), (361, 641), (720, 1280)])
@pytest.mark.parametrize(("is_rgb", "bits"), [(False, 8), (False, 10), (True, 8)])
def test_every_size_is_drawn_within_its_range(
    make_picture: MakePicture, soft_mask: Mask, size_hw: tuple[int, int], is_rgb: bool, bits: int
) -> None:
    picture = make_picture(size_hw, is_rgb=is_rgb, bits=bits)
    for plane in picture.planes:
        plane[...] = np.where(plane > 128 << bits - 8, (1 << bits) - 1, 0)
    drawn = draw(EffectSpec("color", color_rgb=(255, 255, 255), despill=True), picture, soft_mask)
    for plane in drawn.planes:
        assert plane.max() < 1 << bits


def test_a_white_wall_behind_white_hair_before_white_does_not_turn_grey(soft_mask: Mask) -> None:
    white = Picture((np.full((*SIZE, 3), 255, np.uint8),))
    drawn = draw(EffectSpec("color", color_rgb=(255, 255, 255), despill=True), white, soft_mask)
    assert drawn.planes[0].min() >= 253
