"""The effect image: the subject is kept, another picture shows elsewhere."""

from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_server.frames import InvalidPictureError, Picture
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.grid import Grid
from segtriton_server.vision.layers import draw_subject

Mask = NDArray[np.uint8]
MakePicture = Callable[..., Picture]
EmptyLike = Callable[[Picture], Picture]

IMAGE = EffectSpec("image")
SIZES = [(720, 1280), (361, 641), (144, 176), (65, 33), (1, 1)]
SAMPLINGS = [(2, 2), (1, 2), (1, 1)]
KINDS = [*product(SIZES, SAMPLINGS, (8, 10)), *product(SIZES, [None], (8,))]  # None: RGB

Steps = tuple[int, int] | None


def make(make_picture: MakePicture, size_hw: tuple[int, int], chroma_steps: Steps, bits: int, seed: int) -> Picture:
    if chroma_steps is None:
        return make_picture(size_hw, is_rgb=True, seed=seed)
    return make_picture(size_hw, chroma_steps=chroma_steps, bits=bits, seed=seed)


@pytest.fixture
def draw(empty_like: EmptyLike) -> Callable[[Picture, Mask, Picture], Picture]:
    def draw(picture: Picture, mask: Mask, behind: Picture) -> Picture:
        out = empty_like(picture)
        create_compositor(IMAGE, picture.size_hw).compose(picture, mask, out, behind)
        return out

    return draw


Draw = Callable[[Picture, Mask, Picture], Picture]


@pytest.mark.parametrize(("size_hw", "chroma_steps", "bits"), KINDS)
def test_without_a_subject_it_is_the_picture_behind_and_with_nothing_else_the_source(
    make_picture: MakePicture, draw: Draw, size_hw: tuple[int, int], chroma_steps: Steps, bits: int
) -> None:
    source, behind = (make(make_picture, size_hw, chroma_steps, bits, seed) for seed in (1, 7))
    for level, expected in ((0, behind), (255, source)):
        found = draw(source, np.full((144, 256), level, np.uint8), behind)
        for plane, wanted in zip(found.planes, expected.planes, strict=True):
            np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize(("size_hw", "chroma_steps", "bits"), KINDS)
def test_both_are_mixed_by_the_mask(
    make_picture: MakePicture,
    draw: Draw,
    round_mask: Mask,
    size_hw: tuple[int, int],
    chroma_steps: Steps,
    bits: int,
) -> None:
    source, behind = (make(make_picture, size_hw, chroma_steps, bits, seed) for seed in (1, 7))
    soft = cv2.GaussianBlur(round_mask, (0, 0), 8)
    subject = np.empty(Grid(size_hw).size_hw, np.uint8)
    draw_subject(soft, subject)

    found = draw(source, soft, behind)

    for plane, before, after in zip(found.planes, source.planes, behind.planes, strict=True):
        share = cv2.resize(subject, plane.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float64) / 255
        share = share if plane.ndim == 2 else share[..., None]
        expected = share * before + (1 - share) * after
        assert np.abs(plane - expected).max() <= (2 if bits == 8 else 4)  # the share itself is rounded to 8 bits


def test_a_mask_of_half_certainty_shows_half_of_each_to_the_pixel(make_picture: MakePicture, draw: Draw) -> None:
    source, behind = make_picture((144, 176)), make_picture((144, 176))
    for picture, level in ((source, 200), (behind, 100)):
        for plane in picture.planes:
            plane.fill(level)
    found = draw(source, np.full((144, 256), 128, np.uint8), behind)  # the ramp makes it 128 of 255
    for plane in found.planes:
        assert np.unique(plane).tolist() == [150]


def test_a_video_behind_may_change_with_every_frame(
    make_picture: MakePicture, empty_like: EmptyLike, draw: Draw, round_mask: Mask
) -> None:
    compositor = create_compositor(IMAGE, (361, 641))
    for seed in (3, 4, 5):
        source, behind = make_picture((361, 641), seed=seed), make_picture((361, 641), seed=10 + seed)
        out = empty_like(source)
        compositor.compose(source, round_mask, out, behind)
        for plane, expected in zip(out.planes, draw(source, round_mask, behind).planes, strict=True):
            np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(
    "behind",
    [
        None,
        {"size_hw": (144, 178)},
        {"size_hw": (144, 176), "bits": 10},
        {"size_hw": (144, 176), "chroma_steps": (1, 1)},
        {"size_hw": (144, 176), "is_rgb": True},
    ],
)
def test_a_picture_behind_of_another_kind_is_refused(
    make_picture: MakePicture, empty_like: EmptyLike, round_mask: Mask, behind: dict[str, object] | None
) -> None:
    source = make_picture((144, 176))
    picture = None if behind is None else make_picture(**behind)
    with pytest.raises(InvalidPictureError, match="not of one kind and size"):
        create_compositor(IMAGE, (144, 176)).compose(source, round_mask, empty_like(source), picture)
