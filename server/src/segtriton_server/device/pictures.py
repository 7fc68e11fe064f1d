"""Pictures and masks in a GPU's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from segtriton_server.frames import ColorMatrix, ColorRange


@dataclass(frozen=True, slots=True)
class DevicePictures:
    """Pictures of one session and size: NV12 or interleaved RGB, uint8 CUDA tensors.

    Whoever reads them on another stream than the one that wrote them lets that stream wait for `ready` first.
    Whoever holds them keeps them until his own reads are over: the memory goes back to torch's allocator with the
    last reference, and the stream that took it there may write to it again at once.

    Attributes:
        planes: (Y [n, H, W, 1], UV [n, H / 2, W / 2, 2]) or (RGB [n, H, W, 3],). Sides of NV12 pictures are even.
            Each picture's rows are packed; the step from picture to picture may be wider.
        matrix: luma weights of an NV12 picture; without meaning for RGB.
        color_range: range of an NV12 picture; RGB is always full range.
        ready: what to wait for; None where the writer's stream is the reader's.
    """

    planes: tuple[torch.Tensor, ...]
    matrix: ColorMatrix = ColorMatrix.BT709
    color_range: ColorRange = ColorRange.LIMITED
    ready: torch.cuda.Event | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.planes[0].shape[1], self.planes[0].shape[2]

    @property
    def is_rgb(self) -> bool:
        """Whether the pictures are interleaved RGB rather than NV12."""
        return len(self.planes) == 1

    def __len__(self) -> int:
        """How many there are."""
        return int(self.planes[0].shape[0])

    def select(self, positions: Sequence[int]) -> DevicePictures:
        """Copies of those at the positions given, made on the current stream once they are ready."""
        self.wait(torch.cuda.current_stream())
        planes = tuple(plane[list(positions)] for plane in self.planes)
        return DevicePictures(planes, self.matrix, self.color_range, record_event())

    def wait(self, stream: torch.cuda.Stream) -> None:
        """Let a stream wait until the pictures are there."""
        if self.ready is not None:
            stream.wait_event(self.ready)


@dataclass(frozen=True, slots=True)
class DeviceMasks:
    """Masks uint8 [n, h, w] of a group of pictures, 255 where the subject is; see `DevicePictures` for `ready`."""

    tensor: torch.Tensor
    ready: torch.cuda.Event | None = None

    def wait(self, stream: torch.cuda.Stream) -> None:
        """Let a stream wait until the masks are there."""
        if self.ready is not None:
            stream.wait_event(self.ready)


def nv12_planes(buffer: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The planes of NV12 pictures [n, 3 * height / 2, width], as views."""
    count = buffer.shape[0]
    luma = buffer[:, :height].unsqueeze(3)
    chroma = buffer[:, height:].view(count, height // 2, width // 2, 2)
    return luma, chroma


def record_event(stream: torch.cuda.Stream | None = None) -> torch.cuda.Event:
    """An event at the end of what a stream (the current one by default) has been given so far.

    It lets a waiting thread sleep: spinning would take the cores that the encoders need.
    """
    event = torch.cuda.Event(blocking=True)
    event.record(stream or torch.cuda.current_stream())
    return event
