"""Pictures in 4:2:2 and 4:4:4 are drawn on as those in 4:2:0 are."""

from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import EFFECT_NAMES, EffectName, EffectSpec
from segtriton_server.vision.preprocess import small_rgb

Plane = NDArray[np.uint8]
MakePicture = Callable[..., Picture]
EmptyLike = Callable[[Picture], Picture]

FOUR_TWO_TWO, FOUR_FOUR_FOUR, FOUR_FOUR_NULL = (1, 2), (1, 1), (2, 1)
SAMPLINGS = [FOUR_TWO_TWO, FOUR_FOUR_FOUR, FOUR_FOUR_NULL]
SIZES = [(360, 640), (144, 176), (361, 641), (65, 33), (2, 2), (1, 1), (1, 9), (7, 1)]
LEAST_PSNR = 40


def coarse(picture: Picture) -> Picture:
    """The picture in 4:2:0."""
    height, width = picture.size_hw
    size_wh = (width + 1) // 2, (height + 1) // 2
    chroma = (cv2.resize(plane, size_wh, interpolation=cv2.INTER_AREA) for plane in picture.planes[1:])
    return Picture((picture.planes[0], *chroma), picture.matrix, picture.color_range)


def psnr(first: Plane, second: Plane) -> float:
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize(("effect", "chroma_steps"), list(product(EFFECT_NAMES, SAMPLINGS)))
@pytest.mark.parametrize("size_hw", [(720, 1280), (713, 1277)])
def test_a_finer_chroma_looks_the_same(
    make_picture: MakePicture,
    draw: Callable[..., Picture],
    round_mask: Plane,
    effect: EffectName,
    chroma_steps: tuple[int, int],
    size_hw: tuple[int, int],
) -> None:
    picture = make_picture(size_hw, chroma_steps=chroma_steps)
    drawn = draw(EffectSpec(effect), picture, round_mask)
    expected = draw(EffectSpec(effect), coarse(picture), round_mask)

    assert drawn.shapes == picture.shapes
    np.testing.assert_array_equal(drawn.planes[0], expected.planes[0])
    for plane, wanted in zip(coarse(drawn).planes[1:], expected.planes[1:], strict=True):
        assert psnr(plane, wanted) > LEAST_PSNR


@pytest.mark.parametrize("chroma_steps", SAMPLINGS)
def test_the_network_sees_the_same(make_picture: MakePicture, chroma_steps: tuple[int, int]) -> None:
    picture = make_picture((720, 1280), chroma_steps=chroma_steps)
    seen, expected = (small_rgb(source, (144, 256)) for source in (picture, coarse(picture)))

    assert psnr(seen, expected) > LEAST_PSNR


@pytest.mark.parametrize(("effect", "chroma_steps", "size_hw"), list(product(EFFECT_NAMES, SAMPLINGS, SIZES)))
def test_every_pixel_is_written(
    make_picture: MakePicture,
    draw: Callable[..., Picture],
    round_mask: Plane,
    effect: EffectName,
    chroma_steps: tuple[int, int],
    size_hw: tuple[int, int],
) -> None:
    picture = make_picture(size_hw, chroma_steps=chroma_steps)
    over_black, over_white = (draw(EffectSpec(effect), picture, round_mask, stale) for stale in (0, 255))

    for plane, other in zip(over_black.planes, over_white.planes, strict=True):
        np.testing.assert_array_equal(plane, other)


@pytest.mark.parametrize(("chroma_steps", "size_hw"), list(product(SAMPLINGS, SIZES)))
def test_a_picture_full_of_subject_is_left_alone(
    make_picture: MakePicture, draw: Callable[..., Picture], chroma_steps: tuple[int, int], size_hw: tuple[int, int]
) -> None:
    picture = make_picture(size_hw, chroma_steps=chroma_steps)
    drawn = draw(EffectSpec("blur", 1.0), picture, np.full((144, 256), 255, np.uint8))

    for plane, source in zip(drawn.planes, picture.planes, strict=True):
        np.testing.assert_array_equal(plane, source)


@pytest.mark.parametrize("effect", EFFECT_NAMES)
def test_one_compositor_takes_one_sampling_after_the_other(
    make_picture: MakePicture,
    empty_like: EmptyLike,
    draw: Callable[..., Picture],
    round_mask: Plane,
    effect: EffectName,
) -> None:
    compositor = create_compositor(EffectSpec(effect), (361, 641))
    for chroma_steps in (*SAMPLINGS, (2, 2), *SAMPLINGS):
        picture = make_picture((361, 641), chroma_steps=chroma_steps)
        out = empty_like(picture)
        compositor.compose(picture, round_mask, out)
        for plane, expected in zip(out.planes, draw(EffectSpec(effect), picture, round_mask).planes, strict=True):
            np.testing.assert_array_equal(plane, expected)
