"""What the GPU draws is what the CPU draws."""

from functools import cache
from itertools import product

import cv2
import numpy as np
import pytest
import torch
from gpu_clips import source_planes, source_rgb
from gpu_pictures import Planes, download, empty_like, least_psnr, psnr, to_picture, upload

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.device.pictures import ChosenPictures, DeviceMasks, DevicePictures, record_event
from segtriton_server.frames import ColorMatrix, ColorRange, Picture
from segtriton_server.vision.color import rgb_to_yuv, rgb_to_yuv_affine, yuv_to_rgb_affine
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.gpu.compositor import GpuCompositor
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels

EFFECTS = [
    EffectSpec("blur", 0.1),
    EffectSpec("blur", 0.5),
    EffectSpec("blur", 1.0),
    EffectSpec("mask"),
    EffectSpec("overlay", 0.6, (255, 40, 0)),
    EffectSpec("color"),
    EffectSpec("color", despill=True),
    EffectSpec("image"),
    EffectSpec("image", despill=True),
]
SIZES = [(176, 144), (640, 360), (1280, 720), (1920, 1080), (322, 182)]
COLORS = [(ColorMatrix.BT601, ColorRange.FULL), (ColorMatrix.BT709, ColorRange.LIMITED)]
MASK_HW = 224, 224
ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]
SAME = 40.0  # dB


def effect_id(effect: EffectSpec) -> str:
    return f"{effect.effect}{effect.strength:g}{'despill' if effect.despill else ''}"


def size_id(size_wh: tuple[int, int]) -> str:
    return "x".join(map(str, size_wh))


@cache
def masks_of(count: int) -> np.ndarray:
    """A soft-edged body that moves, and a patch of half certainty."""
    y, x = np.mgrid[0 : MASK_HW[0], 0 : MASK_HW[1]].astype(np.float32)
    masks = []
    for number in range(count):
        body = 6.0 * (1.0 - np.hypot((x - 100 - 20 * number) / 60, (y - 130) / 85))
        patch = 0.5 * np.exp(-(((x - 30) / 20) ** 2) - ((y - 40) / 30) ** 2)
        masks.append(np.clip(1 / (1 + np.exp(-4 * body)) + patch, 0, 1))
    return np.rint(255 * np.stack(masks)).astype(np.uint8)


def pictures_of(kind: str, size_wh: tuple[int, int], count: int) -> list[Planes]:
    if kind == "rgb":
        return [(rgb,) for rgb in source_rgb(size_wh, count)]
    return list(source_planes(size_wh, count))


def behind_of(count: int) -> list[int]:
    """Which picture of a group, upside down, is behind each: the last, the first, the first..."""
    return [count - 1, *[0] * (count - 1)]


def draw_on_gpu(effect: EffectSpec, pictures: DevicePictures, masks: np.ndarray, kernels: PixelKernels) -> list[Planes]:
    stream = torch.cuda.Stream()
    out = empty_like(pictures)
    device_masks = DeviceMasks(torch.from_numpy(masks).cuda(), record_event())
    behind = None
    if effect.effect == "image":
        flipped = tuple(plane.flip(1).contiguous() for plane in pictures.planes)
        kept = DevicePictures(flipped, pictures.matrix, pictures.color_range)
        behind = ChosenPictures(kept, behind_of(len(pictures)))
    torch.cuda.synchronize()
    GpuCompositor(effect, pictures.size_hw, kernels, stream).compose(pictures, device_masks, out, behind)
    stream.synchronize()
    return download(out)


def draw_on_cpu(effect: EffectSpec, pictures: DevicePictures, planes: list[Planes], masks: np.ndarray) -> list[Planes]:
    compositor = create_compositor(effect, pictures.size_hw)
    drawn = []
    for source, mask, position in zip(planes, masks, behind_of(len(planes)), strict=True):
        picture = to_picture(source, pictures)
        out = Picture(tuple(np.empty_like(plane) for plane in picture.planes), picture.matrix, picture.color_range)
        compositor.compose(picture, mask, out, to_picture(tuple(plane[::-1] for plane in planes[position]), pictures))
        drawn.append(out.planes)
    return drawn


def check_same(found: list[Planes], expected: list[Planes]) -> None:
    differences = [least_psnr(*pair) for pair in zip(found, expected, strict=True)]
    assert min(differences) > SAME, [round(difference, 1) for difference in differences]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["nv12", "rgb"])
@pytest.mark.parametrize("size_wh", SIZES, ids=size_id)
@pytest.mark.parametrize("effect", EFFECTS, ids=effect_id)
def test_the_composite_is_that_of_the_cpu(
    effect: EffectSpec, size_wh: tuple[int, int], kind: str, count: int, kernels: PixelKernels
) -> None:
    planes = pictures_of(kind, size_wh, count)
    pictures, masks = upload(planes), masks_of(count)

    found = draw_on_gpu(effect, pictures, masks, kernels)

    check_same(found, draw_on_cpu(effect, pictures, planes, masks))


@pytest.mark.parametrize(("matrix", "color_range"), COLORS)
@pytest.mark.parametrize("effect", [EffectSpec("color", color_rgb=(200, 30, 90)), EffectSpec("mask")], ids=effect_id)
def test_colours_are_written_in_the_pictures_own_matrix_and_range(
    effect: EffectSpec, matrix: ColorMatrix, color_range: ColorRange, kernels: PixelKernels
) -> None:
    planes = pictures_of("nv12", (640, 360), 2)
    pictures, masks = upload(planes, matrix, color_range), masks_of(2)

    found = draw_on_gpu(effect, pictures, masks, kernels)

    check_same(found, draw_on_cpu(effect, pictures, planes, masks))
    background = effect.color_rgb if effect.effect == "color" else (0, 0, 0)
    corner = [int(plane[-1, -1]) for plane in found[0]]
    expected = rgb_to_yuv(background, matrix, color_range)
    assert np.abs(np.subtract(corner, expected)).max() <= 1, (corner, expected)


def test_a_blur_of_no_strength_is_a_copy(kernels: PixelKernels) -> None:
    planes = pictures_of("nv12", (640, 360), 2)

    found = draw_on_gpu(EffectSpec("blur", 0.0), upload(planes), masks_of(2), kernels)

    assert min(least_psnr(*pair) for pair in zip(found, planes, strict=True)) == float("inf")


def test_an_odd_size_is_drawn_in_rgb(kernels: PixelKernels) -> None:
    planes = pictures_of("rgb", (127, 95), 2)
    pictures, masks = upload(planes), masks_of(2)

    for effect in EFFECTS:
        found = draw_on_gpu(effect, pictures, masks, kernels)
        check_same(found, draw_on_cpu(effect, pictures, planes, masks))


# ------------------------------------------------------------------ conversions


def exact_rgb(planes: Planes, matrix: ColorMatrix, color_range: ColorRange) -> np.ndarray:
    """RGB float64 [h, w, 3] of a picture; chroma is repeated."""
    if len(planes) == 1:
        return planes[0].astype(np.float64)
    return np.clip(unclipped_rgb(planes, matrix, color_range), 0.0, 255.0)


def unclipped_rgb(planes: Planes, matrix: ColorMatrix, color_range: ColorRange) -> np.ndarray:
    """The same of planes (Y, U, V), with colours that RGB does not have."""
    height, width = planes[0].shape
    chroma = [plane.repeat(2, axis=0).repeat(2, axis=1)[:height, :width] for plane in planes[1:]]
    affine = yuv_to_rgb_affine(matrix, color_range)
    return np.stack([planes[0], *chroma], axis=2) @ affine[:, :3].T + affine[:, 3]


@pytest.mark.parametrize("kind", ["nv12", "rgb"])
@pytest.mark.parametrize("size_wh", SIZES[1:4], ids=size_id)
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_the_networks_input_is_the_shown_picture_shrunk_by_means(
    orientation: Orientation, size_wh: tuple[int, int], kind: str, kernels: PixelKernels
) -> None:
    planes = pictures_of(kind, size_wh, 2)
    pictures = upload(planes, ColorMatrix.BT709)
    normal = torch.tensor([[1 / 255] * 3, [0.0] * 3], dtype=torch.float32, device="cuda")
    network_input = torch.zeros((2, *MASK_HW, 3), dtype=torch.half, device="cuda")
    guide = torch.zeros((2, *MASK_HW), dtype=torch.uint8, device="cuda")

    kernels.to_input(pictures, orientation, normal, network_input, guide)
    torch.cuda.synchronize()

    for source, small, grey in zip(planes, network_input.float().cpu().numpy(), guide.cpu().numpy(), strict=True):
        rgb = orientation.to_shown(exact_rgb(source, ColorMatrix.BT709, ColorRange.LIMITED))
        expected = cv2.resize(np.ascontiguousarray(rgb), MASK_HW[::-1], interpolation=cv2.INTER_AREA)
        assert psnr(small * 255, expected) > 38.0
        assert psnr(grey, expected @ (0.299, 0.587, 0.114)) > 38.0


def test_normalisation_is_a_factor_and_an_offset_for_each_colour(kernels: PixelKernels) -> None:
    grey = np.full((64, 64, 3), 100, np.uint8)
    normal = torch.tensor([[0.01, 0.02, 0.03], [-1.0, 0.0, 1.0]], dtype=torch.float32, device="cuda")
    network_input = torch.zeros((1, 32, 32, 3), dtype=torch.half, device="cuda")
    guide = torch.zeros((1, 32, 32), dtype=torch.uint8, device="cuda")

    kernels.to_input(upload([(grey,)]), UPRIGHT, normal, network_input, guide)

    assert torch.allclose(network_input.float().cpu(), torch.tensor([0.0, 2.0, 4.0]), atol=2e-3)
    assert (guide == 100).all()


def exact_jpeg_planes(planes: Planes, matrix: ColorMatrix, color_range: ColorRange) -> Planes:
    """Y, Cb, Cr as JFIF wants them, float64: every pixel through RGB, then the chroma of 2 x 2 averaged."""
    affine = rgb_to_yuv_affine(ColorMatrix.BT601, ColorRange.FULL)
    yuv = unclipped_rgb(planes, matrix, color_range) @ affine[:, :3].T + affine[:, 3]
    luma, *chroma = np.moveaxis(np.clip(yuv, 0.0, 255.0), 2, 0)
    rows, columns = planes[1].shape
    return luma, *(plane.reshape(rows, 2, columns, 2).mean((1, 3)) for plane in chroma)


@pytest.mark.parametrize(("matrix", "color_range"), [*COLORS, (ColorMatrix.BT2020, ColorRange.FULL)])
@pytest.mark.parametrize("size_wh", [*SIZES, (126, 94)], ids=size_id)
def test_jpeg_planes_are_full_range_bt601(
    size_wh: tuple[int, int], matrix: ColorMatrix, color_range: ColorRange, kernels: PixelKernels
) -> None:
    planes = source_planes(size_wh, 3)

    joined = kernels.jpeg_planes(upload(planes, matrix, color_range))
    torch.cuda.synchronize()

    width, height = size_wh
    assert joined.shape == (3, 3 * height * width // 2)
    for picture, source in zip(joined.cpu().numpy(), planes, strict=True):
        luma, *chroma = np.split(picture, [height * width, height * width * 5 // 4])
        found = luma.reshape(height, width), *(plane.reshape(height // 2, width // 2) for plane in chroma)
        assert least_psnr(found, exact_jpeg_planes(source, matrix, color_range)) > 50.0
        if (matrix, color_range) == (ColorMatrix.BT601, ColorRange.FULL):
            assert least_psnr(found, source) == float("inf")


def test_no_jpeg_planes_are_made_of_rgb(kernels: PixelKernels) -> None:
    with pytest.raises(TypeError, match="NV12"):
        kernels.jpeg_planes(upload(pictures_of("rgb", (64, 48), 1)))
