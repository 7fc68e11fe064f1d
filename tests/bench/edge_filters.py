"""How well edges come out of a network's coarse mask: joint bilateral filters, each with what it would cost on a GPU.

    python tests/bench/edge_filters.py [CLIP]

Pictures of known truth are made: one frame of the clip on another, cut along a random outline. The truth is brought
down to the 28x28 cells that FCN-ResNet101 answers with, enlarged as the network does, filtered, enlarged again, and
compared with the truth in a band of 41 pixels along the outline. On the CPU, in NumPy: the figures are about quality,
not about speed.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SIZE_WH = 1920, 1080
NETWORK_WH = 224, 224
GRID_WH = 240, 135
CELLS_WH = 28, 28
BAND = np.ones((41, 41), np.uint8)
NUM_PICTURES = 6
TINT = np.array([50.0, -30.0, 40.0])  # what is in front has other colours than what is behind


def joint_bilateral(mask: Array, guide: Array, diameter: int, color: float, space: float) -> Array:
    """Smooth a mask [h, w] except across the edges of a guide (Petschnigg et al. and Eisemann and Durand, 2004)."""
    radius = diameter // 2
    height, width = mask.shape
    masks, guides = (np.pad(plane, radius, mode="edge") for plane in (mask, guide))
    total, weights = np.zeros_like(mask), np.zeros_like(mask)
    for down in range(-radius, radius + 1):
        for along in range(-radius, radius + 1):
            if down**2 + along**2 > radius**2:
                continue
            rows = slice(radius + down, radius + down + height)
            columns = slice(radius + along, radius + along + width)
            distance = (guides[rows, columns] - guide) ** 2 / (2 * color**2) + (down**2 + along**2) / (2 * space**2)
            weight = np.exp(-distance)
            total += weight * masks[rows, columns]
            weights += weight
    return total / weights


def resized(plane: Array, size_wh: tuple[int, int]) -> Array:
    """Enlarged linearly, or shrunk by means."""
    shrinks = size_wh[0] < plane.shape[1]
    result: Array = cv2.resize(plane, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[assignment]
    return result


def drawn(mask: Array) -> Array:
    """The mask as the effects draw it: on their grid, through the ramp, at the picture's size."""
    grid = cv2.resize(mask, GRID_WH, interpolation=cv2.INTER_LINEAR)
    return np.clip((resized(np.asarray(grid, np.float32), SIZE_WH) / 255 - 0.2) / 0.6, 0, 1)


# What it costs was measured on an H100 with CV-CUDA, for one 1080p frame in a group of eight.
FILTERS: dict[str, Callable[[Array, Array], Array]] = {
    "none": lambda mask, guide: drawn(mask),
    "at the frame's size, diameter 5, 50, 1 (the sample's): 55 us": lambda mask, guide: np.clip(
        (joint_bilateral(resized(mask, SIZE_WH), guide, 5, 50, 1) / 255 - 0.2) / 0.6, 0, 1
    ),
    "at the network's size, diameter 9, 20, 4 (ours): 6 us": lambda mask, guide: drawn(
        joint_bilateral(mask, resized(guide, NETWORK_WH), 9, 20, 4)
    ),
}


def make_picture(frames: list[NDArray[np.uint8]], seed: int) -> tuple[Array, Array]:
    """A grey picture [1080, 1920] of 0..255 and its truth, 0 or 1."""
    random = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(random.standard_normal(SIZE_WH[::-1]).astype(np.float32), (0, 0), 60)
    rows, columns = np.mgrid[0 : SIZE_WH[1], 0 : SIZE_WH[0]]
    truth = (1 - np.hypot((columns - 960) / 480, (rows - 620) / 480) + 0.12 * noise / noise.std()) > 0
    behind = cv2.resize(frames[20 * seed % len(frames)], SIZE_WH)[:, ::-1]
    before = np.clip(cv2.resize(frames[(20 * seed + 70) % len(frames)], SIZE_WH) + TINT, 0, 255)
    picture = np.where(truth[..., None], before, behind).astype(np.uint8)
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), truth.astype(np.float32)


def main() -> None:
    """Print the mean error of each filter."""
    clip = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / ".assets" / "clips" / "bigbuckbunny.mp4"
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    errors: dict[str, list[float]] = {name: [] for name in FILTERS}
    for seed in range(NUM_PICTURES):
        guide, truth = make_picture(frames, seed)
        mask = resized(resized(truth * 255, CELLS_WH), NETWORK_WH)
        band = cv2.dilate(truth, BAND) > cv2.erode(truth, BAND)
        for name, apply in FILTERS.items():
            errors[name].append(float(np.abs(apply(mask, guide) - truth)[band].mean()))
    for name, values in errors.items():
        print(f"{name:66s} mean error {np.mean(values):.4f}")


if __name__ == "__main__":
    main()
