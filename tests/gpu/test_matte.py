"""Masks between the network and the drawing: the same as on the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from segtriton_protocol import MatteSpec
from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.frames import Picture
from segtriton_server.vision.gpu.matte import GpuMatte
from segtriton_server.vision.matte import Matte

SIZE_HW = 224, 224
PLAIN = MatteSpec.untreated()


def picture(number: int) -> Picture:
    """Another one each time: only on the CPU, masks are held still where the picture is."""
    chroma = np.zeros((112, 112), np.uint8)
    return Picture((np.full(SIZE_HW, 255 * (number % 2), np.uint8), chroma, chroma))


@pytest.fixture
def stream(device: None) -> torch.cuda.Stream:
    return torch.cuda.Stream()


def trembling_masks(count: int) -> np.ndarray:
    """A disc that moves a little, with another noise on its edge each time: uint8 [n, h, w]."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    distances = [np.hypot(rows - 100, columns - 90 - 2 * at) for at in range(count)]
    noises = random.integers(-40, 41, (count, *SIZE_HW))
    return np.clip((70 - np.stack(distances)) * 16 + 128 + noises, 0, 255).astype(np.uint8)


def refine(matte: GpuMatte, masks: np.ndarray) -> np.ndarray:
    pictures = DevicePictures((torch.zeros((len(masks), *SIZE_HW, 3), dtype=torch.uint8, device="cuda"),))
    refined = matte.refine(pictures, DeviceMasks(torch.from_numpy(masks).cuda(), record_event()))
    torch.cuda.synchronize()
    return refined.tensor.cpu().numpy()


@pytest.mark.parametrize(
    "spec",
    [
        replace(PLAIN, smoothing=0.8),
        replace(PLAIN, feather=0.5),
        replace(PLAIN, feather=-1.0),
        replace(PLAIN, smoothing=0.5, feather=0.1, mask_every=4),
    ],
)
def test_masks_are_refined_as_on_the_cpu(stream: torch.cuda.Stream, spec: MatteSpec) -> None:
    masks = trembling_masks(12)
    on_cpu = Matte(spec, SIZE_HW)
    expected = np.stack([on_cpu.refine(picture(at), mask) for at, mask in enumerate(masks)]).astype(int)
    on_gpu = GpuMatte(spec, stream)
    # Groups of any size are one session's frames.
    found = np.concatenate([refine(on_gpu, masks[start:end]) for start, end in ((0, 1), (1, 8), (8, 12))])

    assert np.abs(expected - masks).max() > 10
    # On the CPU the filter rounds between its steps.
    assert np.abs(found - expected).max() <= 3
