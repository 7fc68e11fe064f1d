"""Canvases in a GPU's memory."""

from __future__ import annotations

import torch

from segtriton_server.device.pictures import DevicePictures, nv12_planes
from segtriton_server.encoders.encoder import Canvas


def nv12_canvas(like: DevicePictures, size_hw: tuple[int, int], stream: torch.cuda.Stream) -> Canvas:
    """As many NV12 pictures as `like` has, of its colour; the owner is their memory [n, 3 * H / 2, W].

    The memory belongs to the encoder's stream: when it goes back to torch's allocator, only work that follows on
    that stream may write to it.

    Raises:
        TypeError: `like` is RGB, which H.264 encoders do not take.
    """
    if like.is_rgb:
        raise TypeError(f"an H.264 encoder takes NV12, got {len(like)} RGB pictures")
    height, width = size_hw
    with torch.cuda.stream(stream):
        buffer = torch.empty((len(like), 3 * height // 2, width), dtype=torch.uint8, device="cuda")
    planes = nv12_planes(buffer, height, width)
    return Canvas(DevicePictures(planes, like.matrix, like.color_range), buffer)


def rgb_canvas(like: DevicePictures, size_hw: tuple[int, int], stream: torch.cuda.Stream) -> Canvas:
    """As many RGB pictures as `like` has; the owner is their memory [n, H, W, 3], see `nv12_canvas`."""
    with torch.cuda.stream(stream):
        buffer = torch.empty((len(like), *size_hw, 3), dtype=torch.uint8, device="cuda")
    return Canvas(DevicePictures((buffer,), like.matrix, like.color_range), buffer)
