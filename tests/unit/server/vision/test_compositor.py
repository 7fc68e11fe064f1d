from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_server.frames import ColorMatrix, ColorRange, InvalidPictureError, Picture
from segtriton_server.vision.color import rgb_to_yuv, yuv_to_rgb_affine
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import EFFECT_NAMES, EffectName, EffectSpec
from segtriton_server.vision.errors import InvalidMaskError

Plane = NDArray[np.uint8]
MakePicture = Callable[..., Picture]
EmptyLike = Callable[[Picture], Picture]

SIZES = [(720, 1280), (360, 640), (144, 176), (361, 641), (713, 1277), (65, 33), (2, 2), (1, 1), (1, 9), (7, 1)]
NOTHING, EVERYTHING = (np.full((144, 256), value, np.uint8) for value in (0, 255))


def psnr(first: Plane, second: Plane) -> float:
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def to_rgb(picture: Picture) -> Picture:
    """The YUV picture as RGB, in floating point."""
    width_height = picture.size_hw[::-1]
    chroma = [cv2.resize(plane, width_height) for plane in picture.planes[1:]]
    yuv = np.stack([picture.planes[0], *chroma], axis=-1).astype(np.float64)
    affine = yuv_to_rgb_affine(picture.matrix, picture.color_range)
    rgb = np.rint(yuv @ affine[:, :3].T + affine[:, 3])
    return Picture((np.clip(rgb, 0, 255).astype(np.uint8),))


def assert_same(first: Picture, second: Picture) -> None:
    for a, b in zip(first.planes, second.planes, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def draw(empty_like: EmptyLike) -> Callable[[EffectSpec, Picture, Plane], Picture]:
    def draw(spec: EffectSpec, picture: Picture, mask: Plane) -> Picture:
        out = empty_like(picture)
        create_compositor(spec, picture.size_hw).compose(picture, mask, out)
        return out

    return draw


Draw = Callable[[EffectSpec, Picture, Plane], Picture]


@pytest.mark.parametrize(("effect", "is_rgb", "size_hw"), list(product(EFFECT_NAMES, [False, True], SIZES)))
def test_every_pixel_is_written_and_nothing_else(
    make_picture: MakePicture,
    empty_like: EmptyLike,
    round_mask: Plane,
    effect: EffectName,
    is_rgb: bool,
    size_hw: tuple[int, int],
) -> None:
    picture = make_picture(size_hw, is_rgb=is_rgb, line_padding=11)
    before = [plane.copy() for plane in picture.planes]
    compositor = create_compositor(EffectSpec(effect), size_hw)
    outs = []
    for stale in (0, 255):
        out = empty_like(picture)
        for plane in out.planes:
            plane.fill(stale)
        compositor.compose(picture, round_mask, out)
        for plane in out.planes:
            assert plane.base is not None
            padding = plane.base[:, plane.shape[1] :]
            assert (padding == 77).all()
        outs.append(out)
    assert_same(*outs)
    for plane, expected in zip(picture.planes, before, strict=True):
        np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(("is_rgb", "size_hw"), list(product([False, True], SIZES)))
def test_blur_leaves_a_picture_full_of_subject_alone(
    make_picture: MakePicture, draw: Draw, is_rgb: bool, size_hw: tuple[int, int]
) -> None:
    picture = make_picture(size_hw, is_rgb=is_rgb)
    assert_same(draw(EffectSpec("blur", 1.0), picture, EVERYTHING), picture)


@pytest.mark.parametrize("is_rgb", [False, True])
def test_blur_of_strength_0_is_the_picture(make_picture: MakePicture, draw: Draw, is_rgb: bool) -> None:
    picture = make_picture((361, 641), is_rgb=is_rgb)
    assert_same(draw(EffectSpec("blur", 0.0), picture, NOTHING), picture)


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("size_hw", [(720, 1280), (540, 960), (713, 1277), (144, 176)])
@pytest.mark.parametrize("is_rgb", [False, True])
def test_blur_without_subject_is_a_gaussian(
    make_picture: MakePicture, draw: Draw, strength: float, size_hw: tuple[int, int], is_rgb: bool
) -> None:
    picture = make_picture(size_hw, is_rgb=is_rgb)
    blurred = draw(EffectSpec("blur", strength), picture, NOTHING)
    for plane, source in zip(blurred.planes, picture.planes, strict=True):
        sigma = strength * 0.04 * min(size_hw) * source.shape[0] / size_hw[0]
        expected = cv2.GaussianBlur(source.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        assert psnr(plane, expected) > 38


@pytest.mark.parametrize("size_hw", [(720, 1280), (713, 1277), (144, 176)])
def test_flat_picture_stays_flat_up_to_its_borders(round_mask: Plane, draw: Draw, size_hw: tuple[int, int]) -> None:
    chroma_hw = (size_hw[0] + 1) // 2, (size_hw[1] + 1) // 2
    planes = tuple(
        np.full(shape, value, np.uint8) for shape, value in ((size_hw, 90), (chroma_hw, 140), (chroma_hw, 60))
    )
    out = draw(EffectSpec("blur"), Picture(planes), round_mask)
    for plane, source in zip(out.planes, planes, strict=True):
        assert np.abs(plane.astype(int) - source).max() <= 2


def test_subject_does_not_bleed_into_the_background(round_mask: Plane, draw: Draw) -> None:
    subject = cv2.resize(round_mask, (1280, 720)) > 0
    luma = np.where(subject, 235, 40).astype(np.uint8)
    chroma = np.full((360, 640), 128, np.uint8)
    out = draw(EffectSpec("blur", 1.0), Picture((luma, chroma, chroma)), round_mask)
    ring = (cv2.dilate(subject.astype(np.uint8), np.ones((31, 31), np.uint8)) > 0) & ~subject
    ordinary_blur = cv2.GaussianBlur(luma, (0, 0), 28.8)
    assert out.planes[0][ring].mean() - 40 < 0.3 * (ordinary_blur[ring].mean() - 40)


@pytest.mark.parametrize("is_rgb", [False, True])
def test_color_and_overlay_at_the_extremes(make_picture: MakePicture, draw: Draw, is_rgb: bool) -> None:
    picture = make_picture((360, 640), is_rgb=is_rgb)
    color = (200, 30, 90)
    values = color if is_rgb else rgb_to_yuv(color, picture.matrix, picture.color_range)
    if is_rgb:
        flat = [np.broadcast_to(np.array(values, np.uint8), picture.planes[0].shape)]
    else:
        flat = [np.full(plane.shape, value, np.uint8) for plane, value in zip(picture.planes, values, strict=True)]
    replaced = draw(EffectSpec("color", color_rgb=color), picture, NOTHING)
    tinted = draw(EffectSpec("overlay", 1.0, color), picture, EVERYTHING)
    for plane, full, expected in zip(replaced.planes, tinted.planes, flat, strict=True):
        np.testing.assert_array_equal(plane, expected)
        np.testing.assert_array_equal(full, expected)
    assert_same(draw(EffectSpec("color", color_rgb=color), picture, EVERYTHING), picture)
    assert_same(draw(EffectSpec("overlay", 1.0, color), picture, NOTHING), picture)
    half = draw(EffectSpec("overlay", 0.5, color), picture, EVERYTHING)
    for plane, source, expected in zip(half.planes, picture.planes, flat, strict=True):
        assert np.abs(plane.astype(int) - (source.astype(int) + expected) / 2).max() <= 2


@pytest.mark.parametrize(("color_range", "black", "white"), [(ColorRange.LIMITED, 16, 235), (ColorRange.FULL, 0, 255)])
def test_mask_is_grey_in_the_pictures_range(
    make_picture: MakePicture, draw: Draw, color_range: ColorRange, black: int, white: int
) -> None:
    picture = make_picture((361, 641), color_range=color_range)
    for mask, level in ((NOTHING, black), (EVERYTHING, white)):
        luma, *chroma = draw(EffectSpec("mask"), picture, mask).planes
        assert (luma == level).all()
        assert all((plane == 128).all() for plane in chroma)


def test_mask_of_rgb_is_grey(make_picture: MakePicture, draw: Draw, round_mask: Plane) -> None:
    (rgb,) = draw(EffectSpec("mask"), make_picture((360, 640), is_rgb=True), round_mask).planes
    np.testing.assert_array_equal(rgb[:, :, 0], cv2.resize(round_mask, (640, 360)))
    np.testing.assert_array_equal(rgb, rgb[:, :, :1].repeat(3, axis=2))


@pytest.mark.parametrize("effect", EFFECT_NAMES)
@pytest.mark.parametrize("size_hw", [(720, 1280), (713, 1277)])
@pytest.mark.parametrize(
    ("matrix", "color_range"), [(ColorMatrix.BT601, ColorRange.FULL), (ColorMatrix.BT709, ColorRange.LIMITED)]
)
def test_yuv_and_rgb_look_the_same(
    make_picture: MakePicture,
    draw: Draw,
    round_mask: Plane,
    effect: EffectName,
    size_hw: tuple[int, int],
    matrix: ColorMatrix,
    color_range: ColorRange,
) -> None:
    picture = make_picture(size_hw, matrix=matrix, color_range=color_range)
    # Muted colours: RGB clips what YUV can hold and RGB cannot.
    planes = (picture.planes[0], *(plane // 4 + 96 for plane in picture.planes[1:]))
    picture = Picture(planes, matrix, color_range)
    by_yuv = to_rgb(draw(EffectSpec(effect), picture, round_mask)).planes[0]
    by_rgb = draw(EffectSpec(effect), to_rgb(picture), round_mask).planes[0]
    assert psnr(by_yuv, by_rgb) > 38


@pytest.mark.parametrize("effect", ["blur", "overlay", "color"])
@pytest.mark.parametrize("is_rgb", [False, True])
def test_drawing_in_strips_leaves_no_seam(
    make_picture: MakePicture,
    draw: Draw,
    round_mask: Plane,
    monkeypatch: pytest.MonkeyPatch,
    effect: EffectName,
    is_rgb: bool,
) -> None:
    picture = make_picture((720, 1280), is_rgb=is_rgb)
    in_strips = draw(EffectSpec(effect), picture, round_mask)
    monkeypatch.setattr("segtriton_server.vision.plane_blend._NUM_STRIPS", 1)
    assert_same(in_strips, draw(EffectSpec(effect), picture, round_mask))


@pytest.mark.parametrize("effect", EFFECT_NAMES)
def test_one_compositor_serves_a_whole_session(
    make_picture: MakePicture, empty_like: EmptyLike, draw: Draw, round_mask: Plane, effect: EffectName
) -> None:
    compositor = create_compositor(EffectSpec(effect), (361, 641))
    shifted = np.roll(round_mask, 60, axis=1)
    kinds = [(ColorMatrix.BT601, ColorRange.FULL, False), (ColorMatrix.BT709, ColorRange.LIMITED, False)]
    kinds.append((ColorMatrix.BT709, ColorRange.LIMITED, True))
    for seed, (kind, mask) in enumerate(product(kinds * 2, (round_mask, NOTHING, shifted, EVERYTHING))):
        matrix, color_range, is_rgb = kind
        picture = make_picture((361, 641), matrix=matrix, color_range=color_range, is_rgb=is_rgb, seed=seed % 7)
        out = empty_like(picture)
        compositor.compose(picture, mask, out)
        assert_same(out, draw(EffectSpec(effect), picture, mask))


@pytest.mark.parametrize("effect", EFFECT_NAMES)
def test_read_only_sources_are_fine(
    make_picture: MakePicture, draw: Draw, round_mask: Plane, effect: EffectName
) -> None:
    picture = make_picture((360, 640))
    expected = draw(EffectSpec(effect), picture, round_mask)
    round_mask.flags.writeable = False
    for plane in picture.planes:
        plane.flags.writeable = False
    assert_same(draw(EffectSpec(effect), picture, round_mask), expected)


@pytest.mark.parametrize("effect", EFFECT_NAMES)
def test_what_does_not_fit_is_refused(make_picture: MakePicture, round_mask: Plane, effect: EffectName) -> None:
    picture = make_picture((360, 640))
    compositor = create_compositor(EffectSpec(effect), (360, 640))
    with pytest.raises(InvalidPictureError, match="made for"):
        compositor.compose(make_picture((362, 640)), round_mask, picture)
    with pytest.raises(InvalidPictureError, match="one kind and size"):
        compositor.compose(picture, round_mask, make_picture((360, 642)))
    with pytest.raises(InvalidPictureError, match="one kind and size"):
        compositor.compose(picture, round_mask, make_picture((360, 640), is_rgb=True))
    for mask in (round_mask.astype(np.float32), round_mask[:, :, None], round_mask[:0]):
        with pytest.raises(InvalidMaskError):
            compositor.compose(picture, mask, make_picture((360, 640)))
