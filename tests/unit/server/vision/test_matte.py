"""Masks between the network and the drawing: steadier, softer, nearer to the picture's edges."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from segtriton_protocol import MatteSpec
from segtriton_server.frames import Picture
from segtriton_server.vision.matte import Matte

SIZE_HW, MASK_HW = (360, 640), (144, 256)


def only(**fields: Any) -> MatteSpec:
    """No treatment but these."""
    return replace(MatteSpec.untreated(), **fields)


def disc(center: float = 128.0, radius: float = 40.0, size_hw: tuple[int, int] = MASK_HW) -> np.ndarray:
    """A disc with a soft edge."""
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    return np.clip((radius - np.hypot(rows - size_hw[0] / 2, columns - center)) * 32 + 128, 0, 255).astype(np.uint8)


def flat_picture(luma: np.ndarray | None = None) -> Picture:
    plane = np.full(SIZE_HW, 90, np.uint8) if luma is None else luma
    chroma = np.full((SIZE_HW[0] // 2, SIZE_HW[1] // 2), 128, plane.dtype)
    return Picture((plane, chroma, chroma))


PICTURE = flat_picture()


def trembling(count: int) -> list[np.ndarray]:
    """One disc, each time with another noise on its edge."""
    random = np.random.default_rng(1)
    noises = random.integers(-40, 41, (count, *MASK_HW))
    mask = disc().astype(int)
    is_edge = (mask > 0) & (mask < 255)
    return [np.where(is_edge, np.clip(mask + noise, 0, 255), mask).astype(np.uint8) for noise in noises]


def flicker(masks: list[np.ndarray]) -> float:
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairwise(masks)]))


def test_smoothing_takes_the_trembling_out() -> None:
    masks = trembling(20)
    matte = Matte(only(smoothing=0.8), SIZE_HW)
    steady = [matte.refine(PICTURE, mask) for mask in masks]

    assert flicker(steady) < 0.5 * flicker(masks)


def test_smoothing_follows_what_really_moves_at_once() -> None:
    matte = Matte(only(smoothing=0.8), SIZE_HW)
    matte.refine(PICTURE, disc(60))
    moved = matte.refine(flat_picture(np.full(SIZE_HW, 120, np.uint8)), disc(190))

    assert np.abs(moved.astype(int) - disc(190)).max() < 60
    assert np.abs(moved.astype(int) - disc(190)).mean() < 1


def test_smoothing_holds_back_what_blinks_in_a_still_picture() -> None:
    matte = Matte(only(smoothing=0.8), SIZE_HW)
    empty, blink = np.zeros(MASK_HW, np.uint8), disc()
    masks = [matte.refine(PICTURE, mask) for mask in (empty, blink, empty, blink, blink, blink, blink, blink, blink)]

    assert masks[1].max() < 64  # of a single frame
    assert masks[-1].max() > 160  # of several


def test_a_restart_forgets_the_masks_before() -> None:
    matte, fresh = (Matte(only(smoothing=0.8), SIZE_HW) for _ in range(2))
    matte.refine(PICTURE, np.zeros(MASK_HW, np.uint8))
    matte.restart()

    for mask in trembling(3):
        assert np.array_equal(matte.refine(PICTURE, mask), fresh.refine(PICTURE, mask))


def test_ten_bits_are_as_still_as_eight() -> None:
    fine = flat_picture(np.full(SIZE_HW, 360, np.uint16))
    matte = Matte(only(smoothing=0.8), SIZE_HW)
    matte.refine(fine, np.zeros(MASK_HW, np.uint8))

    assert matte.refine(fine, disc()).max() < 64


@pytest.mark.parametrize(("feather", "sign"), [(0.5, 1), (-0.5, -1)])
def test_feather_widens_the_edge_to_its_side(feather: float, sign: int) -> None:
    hard = np.where(disc() > 127, 255, 0)
    feathered = Matte(only(feather=feather), SIZE_HW).refine(PICTURE, hard.astype(np.uint8)).astype(int)

    assert ((feathered - hard) * sign).min() > -40  # the edge is bent
    assert ((feathered - hard) * sign).mean() > 1
    assert np.count_nonzero((feathered > 20) & (feathered < 235)) > 1000


def test_edges_are_drawn_to_those_of_the_picture() -> None:
    truth = disc(320, 100, SIZE_HW)
    picture = flat_picture(np.where(truth > 127, 200, 60).astype(np.uint8))
    mask = cv2.GaussianBlur(disc(129, 41), (0, 0), 3)  # not quite where the picture has its edge
    refined = Matte(only(edges=1.0), SIZE_HW).refine(picture, mask)
    plain = Matte(only(smoothing=0.1), SIZE_HW).refine(picture, mask)

    def error(found: np.ndarray) -> float:
        rows = np.linspace(0, found.shape[0] - 1, SIZE_HW[0]).astype(int)
        columns = np.linspace(0, found.shape[1] - 1, SIZE_HW[1]).astype(int)
        return float(np.abs(found[np.ix_(rows, columns)].astype(int) - truth).mean())

    assert error(refined) < 0.8 * error(plain)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("spec", [only(edges=1.0), only(feather=0.5), only(feather=-0.5)])
def test_an_edge_runs_straight_into_the_borders(spec: MatteSpec, axis: int) -> None:
    def half(size_hw: tuple[int, int], inside: int, outside: int) -> np.ndarray:
        return np.where(np.indices(size_hw)[axis] < size_hw[axis] // 2, inside, outside).astype(np.uint8)

    refined = Matte(spec, SIZE_HW).refine(flat_picture(half(SIZE_HW, 200, 60)), half(MASK_HW, 255, 0))

    assert np.ptp(refined, axis=1 - axis).max() <= 2  # two steps of rounding
    assert (np.take(refined, 0, axis) == 255).all()
    assert (np.take(refined, -1, axis) == 0).all()


def test_the_network_runs_once_for_some_frames_of_a_still_picture() -> None:
    matte = Matte(only(mask_every=4), SIZE_HW)
    still = np.full((*MASK_HW, 3), 128, np.uint8)

    assert [matte.wants_mask(still) for _ in range(9)] == [True, False, False, False] * 2 + [True]


def test_the_network_runs_where_the_picture_moves() -> None:
    matte = Matte(only(mask_every=4), SIZE_HW)

    assert all(matte.wants_mask(np.full((*MASK_HW, 3), 25 * at, np.uint8)) for at in range(8))


def test_a_frame_without_a_mask_takes_the_last_one() -> None:
    matte = Matte(only(mask_every=4), SIZE_HW)
    first = matte.refine(PICTURE, disc())

    assert np.array_equal(matte.refine(PICTURE, None), first)


@pytest.mark.parametrize("spec", [only(edges=0.5), only(feather=0.5, edges=1)])
def test_a_mask_for_the_client_keeps_the_network_s_size(spec: MatteSpec) -> None:
    assert Matte(spec, SIZE_HW, MASK_HW).refine(PICTURE, disc()).shape == MASK_HW
