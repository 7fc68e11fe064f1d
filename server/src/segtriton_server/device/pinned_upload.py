"""From the host's memory to a GPU's."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segtriton_server.device.pictures import record_event


class PinnedUpload:
    """Page-locked host memory that is kept from call to call: it grows, and never shrinks. One thread at a time."""

    def __init__(self) -> None:
        """Take nothing yet."""
        self._memory = torch.empty(0, dtype=torch.uint8, pin_memory=True)

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """A part of that memory, to be filled for `send`."""
        array: NDArray[np.uint8] = self._view(torch.Size(shape)).numpy()
        return array

    def send(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Copy what `array` was filled with to a new CUDA tensor on the current stream, and wait for it."""
        tensor = self._view(torch.Size(shape)).to("cuda", non_blocking=True)
        record_event().synchronize()
        return tensor

    def upload(self, array: NDArray[np.uint8]) -> torch.Tensor:
        """Copy an array to a new CUDA tensor on the current stream, and wait for it."""
        np.copyto(self.array(array.shape), array)
        return self.send(array.shape)

    def _view(self, shape: torch.Size) -> torch.Tensor:
        if self._memory.numel() < shape.numel():
            self._memory = torch.empty(shape.numel(), dtype=torch.uint8, pin_memory=True)
        return self._memory[: shape.numel()].view(shape)
