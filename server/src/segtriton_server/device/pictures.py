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
class ChosenPictures:
    """Pictures that are kept, by their positions: each as often as it is named.

    Attributes:
        kept: all of them; nobody writes to them.
        positions: which, in which order.
    """

    kept: DevicePictures
    positions: Sequence[int]

    def take(self) -> DevicePictures:
        """The pictures, for reads on the current stream only."""
        stream = torch.cuda.current_stream()
        self.kept.wait(stream)
        for plane in self.kept.planes:  # another stream's memory, which must not go back before it was read here
            plane.record_stream(stream)
        first = self.positions[0]
        if any(position != first for position in self.positions):
            planes = tuple(plane[list(self.positions)] for plane in self.kept.planes)
        else:
            count = len(self.positions)
            planes = tuple(plane[first : first + 1].expand(count, -1, -1, -1) for plane in self.kept.planes)
        return DevicePictures(planes, self.kept.matrix, self.kept.color_range)


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


def join_pictures(groups: Sequence[DevicePictures]) -> DevicePictures:
    """Copies of pictures of one kind and size as one group, made on the current stream once they are ready."""
    stream = torch.cuda.current_stream()
    for group in groups:
        group.wait(stream)
        for plane in group.planes:
            plane.record_stream(stream)
    planes = tuple(torch.cat(planes) for planes in zip(*(group.planes for group in groups), strict=True))
    return DevicePictures(planes, groups[0].matrix, groups[0].color_range, record_event())


def record_event(stream: torch.cuda.Stream | None = None) -> torch.cuda.Event:
    """An event at the end of what a stream (the current one by default) has been given so far.

    It lets a waiting thread sleep: spinning would take the cores that the encoders need.
    """
    event = torch.cuda.Event(blocking=True)
    event.record(stream or torch.cuda.current_stream())
    return event
