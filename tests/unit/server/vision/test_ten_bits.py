"""Pictures of 10 bits are drawn on as those of 8 are, and nothing of theirs is rounded to 8."""

from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_protocol.matte_spec import MatteSpec
from segtriton_server.frames import ColorMatrix, ColorRange, InvalidPictureError, Picture, Plane
from segtriton_server.vision.color import rgb_to_yuv
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.depth import Depth
from segtriton_server.vision.effects import EFFECT_NAMES, EffectName, EffectSpec
from segtriton_server.vision.layers import LayerPlanes
from segtriton_server.vision.matte import Matte
from segtriton_server.vision.plane_blend import Box, PlaneBlend
from segtriton_server.vision.preprocess import small_rgb

MakePicture = Callable[..., Picture]
EmptyLike = Callable[[Picture], Picture]
Draw = Callable[..., Picture]
Mask = NDArray[np.uint8]

TEN, PEAK, MOST_WEIGHT = Depth(10), 1023, 65535
SIZES = [(720, 1280), (144, 176), (361, 641), (65, 33), (2, 2), (1, 1), (1, 9)]
NOTHING, EVERYTHING = (np.full((144, 256), value, np.uint8) for value in (0, 255))
LEAST_PSNR = 40


def flat(size_hw: tuple[int, int], levels: tuple[int, int, int], color_range: ColorRange) -> Picture:
    shapes = (size_hw, *[((size_hw[0] + 1) // 2, (size_hw[1] + 1) // 2)] * 2)
    planes = tuple(np.full(shape, level, np.uint16) for shape, level in zip(shapes, levels, strict=True))
    return Picture(planes, ColorMatrix.BT2020, color_range)


def enlarged(cells: Plane, size_hw: tuple[int, int]) -> NDArray[np.float64]:
    return cv2.resize(cells.astype(np.float64), size_hw[::-1], interpolation=cv2.INTER_LINEAR)


def psnr(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    error = np.mean((first - second) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("is_filled", [True, False])
@pytest.mark.parametrize(
    ("size_hw", "grid_hw"), [((720, 1280), (180, 320)), ((360, 640), (180, 320)), ((99, 71), (50, 36))]
)
def test_a_blend_is_within_one_level_of_floating_point(
    size_hw: tuple[int, int], grid_hw: tuple[int, int], is_filled: bool
) -> None:
    random = np.random.default_rng(3)
    source = random.integers(0, PEAK, size_hw, np.uint16, endpoint=True)
    kept = random.integers(0, MOST_WEIGHT, grid_hw, np.uint16, endpoint=True)
    layer = (random.integers(0, PEAK, grid_hw) * (1 - kept / MOST_WEIGHT)).astype(np.uint16)
    target = np.zeros(size_hw, np.uint16)
    blend = PlaneBlend(size_hw, grid_hw, TEN)
    everywhere = Box(0, 0, grid_hw[1], grid_hw[0])
    if is_filled:
        blend.fill(layer, target)
        blend.add([source], kept, [target], everywhere)
    else:
        blend.blend([source], LayerPlanes(kept, [layer]), None, [target], everywhere)

    expected = source * (enlarged(kept, size_hw) / MOST_WEIGHT) + enlarged(layer, size_hw)
    assert np.abs(target - np.rint(np.minimum(expected, PEAK))).max() <= 1


@pytest.mark.parametrize("size_hw", SIZES)
def test_a_picture_full_of_subject_is_left_alone(
    make_picture: MakePicture, draw: Draw, size_hw: tuple[int, int]
) -> None:
    picture = make_picture(size_hw, bits=10)
    for spec in (EffectSpec("blur", 1.0), EffectSpec("color")):
        for plane, source in zip(draw(spec, picture, EVERYTHING).planes, picture.planes, strict=True):
            np.testing.assert_array_equal(plane, source)


def test_the_inside_of_a_subject_is_left_alone(make_picture: MakePicture, draw: Draw, round_mask: Mask) -> None:
    picture = make_picture((720, 1280), bits=10)
    drawn = draw(EffectSpec("blur", 1.0), picture, round_mask)
    inside = np.s_[300:400, 550:650]
    np.testing.assert_array_equal(drawn.planes[0][inside], picture.planes[0][inside])


@pytest.mark.parametrize(("effect", "size_hw"), list(product(EFFECT_NAMES, SIZES)))
def test_every_pixel_is_written(
    make_picture: MakePicture, draw: Draw, round_mask: Mask, effect: EffectName, size_hw: tuple[int, int]
) -> None:
    picture = make_picture(size_hw, bits=10)
    over_black, over_white = (draw(EffectSpec(effect), picture, round_mask, stale) for stale in (0, MOST_WEIGHT))

    for plane, other in zip(over_black.planes, over_white.planes, strict=True):
        np.testing.assert_array_equal(plane, other)


@pytest.mark.parametrize(("effect", "color_range"), list(product(EFFECT_NAMES, ColorRange)))
@pytest.mark.parametrize("size_hw", [(720, 1280), (713, 1277)])
def test_it_looks_the_same_as_in_8_bits(
    make_picture: MakePicture,
    draw: Draw,
    round_mask: Mask,
    effect: EffectName,
    color_range: ColorRange,
    size_hw: tuple[int, int],
) -> None:
    fine, coarse = (
        draw(EffectSpec(effect), make_picture(size_hw, bits=bits, color_range=color_range), round_mask)
        for bits in (10, 8)
    )

    for plane, expected in zip(fine.planes, coarse.planes, strict=True):
        assert psnr(plane / 4, expected.astype(float)) > LEAST_PSNR


def test_a_soft_slope_has_no_steps_of_8_bits(draw: Draw) -> None:
    slope = np.linspace(64, 940, 1280)
    picture = flat((720, 1280), (0, 512, 512), ColorRange.LIMITED)
    picture.planes[0][...] = np.rint(slope)
    inside = slice(100, -100)  # where a blurred slope is the slope
    for spec in (EffectSpec("blur"), EffectSpec("overlay")):
        luma = draw(spec, picture, NOTHING).planes[0][:, inside]
        assert len(np.unique(luma)) > 600
        assert np.abs(luma - slope[inside]).mean() < 0.6


@pytest.mark.parametrize("level", [0, PEAK])
def test_nothing_exceeds_10_bits(draw: Draw, round_mask: Mask, level: int) -> None:
    soft = cv2.GaussianBlur(round_mask, (0, 0), 20)
    picture = flat((720, 1280), (level, level, level), ColorRange.FULL)
    picture.planes[0][:, np.arange(1280) // 128 % 2 == 1] = PEAK - level  # where it is enlarged, a blur overshoots
    for spec, mask in product((EffectSpec("blur", 0.4), EffectSpec("overlay", 0.5, (255, 255, 255))), (soft, NOTHING)):
        assert max(plane.max() for plane in draw(spec, picture, mask).planes) <= PEAK


@pytest.mark.parametrize(
    ("color_rgb", "color_range", "expected"),
    [
        ((255, 255, 255), ColorRange.LIMITED, (940, 512, 512)),
        ((0, 0, 0), ColorRange.LIMITED, (64, 512, 512)),
        ((255, 0, 0), ColorRange.LIMITED, (294, 387, 960)),
        ((255, 255, 255), ColorRange.FULL, (PEAK, 512, 512)),
        ((255, 0, 0), ColorRange.FULL, (269, 369, PEAK)),
    ],
)
def test_a_color_is_drawn_in_its_own_code_values(
    draw: Draw, color_rgb: tuple[int, int, int], color_range: ColorRange, expected: tuple[int, int, int]
) -> None:
    assert rgb_to_yuv(color_rgb, ColorMatrix.BT2020, color_range, 10) == expected
    picture = flat((144, 176), (500, 400, 600), color_range)
    drawn = draw(EffectSpec("color", color_rgb=color_rgb), picture, NOTHING)
    tinted = draw(EffectSpec("overlay", 1.0, color_rgb), picture, EVERYTHING)
    for plane, other, level in zip(drawn.planes, tinted.planes, expected, strict=True):
        assert (plane == level).all()
        assert (other == level).all()


@pytest.mark.parametrize(("color_range", "black", "white"), [(ColorRange.LIMITED, 64, 940), (ColorRange.FULL, 0, PEAK)])
def test_a_mask_is_grey_in_the_pictures_range(draw: Draw, color_range: ColorRange, black: int, white: int) -> None:
    picture = flat((361, 641), (500, 400, 600), color_range)
    for mask, level in ((NOTHING, black), (EVERYTHING, white)):
        luma, *chroma = draw(EffectSpec("mask"), picture, mask).planes
        assert (luma == level).all()
        assert all((plane == 512).all() for plane in chroma)


def test_network_and_edge_filter_see_what_they_see_of_8_bits(make_picture: MakePicture, round_mask: Mask) -> None:
    fine, coarse = (make_picture((720, 1280), bits=bits) for bits in (10, 8))

    seen, expected_input = (small_rgb(picture, (144, 256)).astype(int) for picture in (fine, coarse))
    assert np.abs(seen - expected_input).mean() < 1.5  # the picture of 8 bits was rounded down
    assert np.abs(seen - expected_input).max() < 8
    refined, expected = (Matte(MatteSpec(edges=1.0), (720, 1280)).refine(each, round_mask) for each in (fine, coarse))
    assert np.abs(refined.astype(int) - expected).max() <= 4


@pytest.mark.parametrize("effect", EFFECT_NAMES)
def test_one_compositor_takes_one_depth_after_the_other(
    make_picture: MakePicture, empty_like: EmptyLike, draw: Draw, round_mask: Mask, effect: EffectName
) -> None:
    compositor = create_compositor(EffectSpec(effect), (361, 641))
    for bits in (10, 8, 10):
        picture = make_picture((361, 641), bits=bits)
        out = empty_like(picture)
        compositor.compose(picture, round_mask, out)
        for plane, expected in zip(out.planes, draw(EffectSpec(effect), picture, round_mask).planes, strict=True):
            np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("effect", EFFECT_NAMES)
def test_another_depth_is_not_drawn_into(make_picture: MakePicture, round_mask: Mask, effect: EffectName) -> None:
    compositor = create_compositor(EffectSpec(effect), (360, 640))
    with pytest.raises(InvalidPictureError, match="one kind and size"):
        compositor.compose(make_picture(bits=10), round_mask, make_picture(bits=8))
