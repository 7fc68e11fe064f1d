"""Pictures to draw on, and where the networks are."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from segtriton_server.frames import SAMPLE_TYPES, ColorMatrix, ColorRange, Picture, Plane
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import EffectSpec

MakePicture = Callable[..., Picture]


@pytest.fixture(scope="session")
def networks_folder() -> Path:
    folder = Path(os.environ.get("SEGTRITON_NETWORKS", Path(__file__).parents[4] / ".assets" / "networks"))
    if not folder.is_dir():
        pytest.fail(f"no networks in {folder}; `make setup` fetches them")
    return folder


@pytest.fixture
def make_picture() -> MakePicture:
    return _make_picture


@pytest.fixture
def empty_like() -> Callable[[Picture], Picture]:
    """A picture of the same kind and size whose rows are wider than the picture, filled with 77."""
    return _empty_like


@pytest.fixture
def draw(empty_like: Callable[[Picture], Picture]) -> Callable[..., Picture]:
    """Draws an effect into a picture whose planes were full of `stale`."""

    def draw(spec: EffectSpec, picture: Picture, mask: NDArray[np.uint8], stale: int = 77) -> Picture:
        out = empty_like(picture)
        for plane in out.planes:
            plane.fill(stale)
        create_compositor(spec, picture.size_hw).compose(picture, mask, out)
        return out

    return draw


@pytest.fixture
def round_mask() -> NDArray[np.uint8]:
    """A disc with a soft edge, as a network of 144x256 would see a head."""
    rows, columns = np.mgrid[0:144, 0:256]
    distance = np.hypot(rows - 70, columns - 120)
    return np.clip((50 - distance) * 32 + 128, 0, 255).astype(np.uint8)


def _make_picture(
    size_hw: tuple[int, int] = (360, 640),
    *,
    is_rgb: bool = False,
    matrix: ColorMatrix = ColorMatrix.BT709,
    color_range: ColorRange = ColorRange.LIMITED,
    line_padding: int = 0,
    seed: int = 1,
    chroma_steps: tuple[int, int] = (2, 2),
    bits: int = 8,
) -> Picture:
    """Smooth waves with some noise, inside the legal range, so that every pixel differs from its neighbours.

    `chroma_steps` are the rows and columns of luma to one of chroma. In 10 bits it is the same picture, but finer.
    """
    height, width = size_hw
    chroma_hw = -(-height // chroma_steps[0]), -(-width // chroma_steps[1])
    if is_rgb:
        return Picture((_texture((height, width, 3), line_padding, seed),), matrix, color_range)
    shapes = (size_hw, chroma_hw, chroma_hw)
    planes = tuple(_texture(shape, line_padding, seed + index, bits) for index, shape in enumerate(shapes))
    return Picture(planes, matrix, color_range)


def _texture(shape: tuple[int, ...], line_padding: int, seed: int, bits: int = 8) -> Plane:
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    waves = 60 * np.sin(rows / (9 + seed)) * np.cos(columns / (13 + seed))
    values = 128 + (waves if len(shape) == 2 else waves[:, :, None] * [1.0, -0.7, 0.4])
    values = values + random.normal(0, 6, shape)
    padded = np.full((shape[0], shape[1] + line_padding, *shape[2:]), 200, SAMPLE_TYPES[bits])
    plane = padded[:, : shape[1]]
    plane[...] = np.clip(values, 16, 235) * (1 << bits - 8)
    return plane


def _empty_like(picture: Picture) -> Picture:
    planes = []
    for plane in picture.planes:
        padded = np.full((plane.shape[0], plane.shape[1] + 24, *plane.shape[2:]), 77, plane.dtype)
        planes.append(padded[:, : plane.shape[1]])
    return Picture(tuple(planes), picture.matrix, picture.color_range)
