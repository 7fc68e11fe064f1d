"""Pictures to and from the device, and how much two of them differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segtriton_server.device.pictures import DevicePictures, nv12_planes, record_event
from segtriton_server.frames import ColorMatrix, ColorRange, Picture

Planes = tuple[np.ndarray, ...]


def psnr(picture: np.ndarray, other: np.ndarray, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB, infinite where nothing differs."""
    assert picture.shape == other.shape
    error = float(np.mean((picture.astype(np.float64) - other.astype(np.float64)) ** 2))
    return float("inf") if error == 0.0 else 10.0 * float(np.log10(peak**2 / error))


def least_psnr(planes: Planes, others: Planes) -> float:
    """The PSNR of the plane that differs most."""
    return min(psnr(plane, other) for plane, other in zip(planes, others, strict=True))


def upload(
    pictures: Sequence[Planes],
    matrix: ColorMatrix = ColorMatrix.BT601,
    color_range: ColorRange = ColorRange.LIMITED,
) -> DevicePictures:
    """Pictures (Y, U, V) as NV12, or (RGB,) as they are, in one group."""
    if len(pictures[0]) == 1:
        device_planes: tuple[torch.Tensor, ...] = (torch.from_numpy(np.stack([rgb for (rgb,) in pictures])).cuda(),)
    else:
        height, width = pictures[0][0].shape
        buffer = torch.from_numpy(np.stack([_nv12(planes) for planes in pictures])).cuda()
        device_planes = nv12_planes(buffer, height, width)
    return DevicePictures(device_planes, matrix, color_range, record_event())


def empty_like(pictures: DevicePictures) -> DevicePictures:
    """Room for as many pictures of the same kind."""
    planes = tuple(torch.zeros_like(plane, memory_format=torch.contiguous_format) for plane in pictures.planes)
    return DevicePictures(planes, pictures.matrix, pictures.color_range)


def download(pictures: DevicePictures) -> list[Planes]:
    """Each picture as (Y, U, V) or (RGB,); waits for the device."""
    torch.cuda.synchronize()
    if pictures.is_rgb:
        return [(rgb,) for rgb in pictures.planes[0].cpu().numpy()]
    luma, chroma = (plane.cpu().numpy() for plane in pictures.planes)
    return [(y[..., 0], uv[..., 0], uv[..., 1]) for y, uv in zip(luma, chroma, strict=True)]


def to_picture(planes: Planes, pictures: DevicePictures) -> Picture:
    """A downloaded picture as the CPU's code takes it."""
    packed = tuple(np.ascontiguousarray(plane) for plane in planes)
    return Picture(packed, pictures.matrix, pictures.color_range)


def _nv12(planes: Planes) -> np.ndarray:
    luma, u, v = planes
    chroma = np.stack([u, v], axis=2).reshape(u.shape[0], 2 * u.shape[1])
    return np.concatenate([luma, chroma])
