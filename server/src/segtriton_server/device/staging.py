"""Copies between host and device through pinned memory that is kept from call to call."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segtriton_server.device.pictures import record_event


class PinnedBuffer:
    """Pinned host memory that grows to the largest copy and is reused; one thread at a time."""

    def __init__(self) -> None:
        """Take nothing yet."""
        self._memory = torch.empty(0, dtype=torch.uint8, pin_memory=True)

    def download(self, tensor: torch.Tensor) -> NDArray[np.uint8]:
        """Copy a contiguous uint8 CUDA tensor on the current stream and wait for it.

        Returns:
            A view of this buffer in the tensor's shape, valid until the next call.
        """
        host = self._view(tensor.shape)
        host.copy_(tensor, non_blocking=True)
        record_event().synchronize()
        array: NDArray[np.uint8] = host.numpy()
        return array

    def upload(self, array: NDArray[np.uint8]) -> torch.Tensor:
        """Copy an array to a new CUDA tensor on the current stream, and wait until this buffer is free again."""
        host = self._view(torch.Size(array.shape))
        np.copyto(host.numpy(), array)
        tensor = host.to("cuda", non_blocking=True)
        record_event().synchronize()
        return tensor

    def _view(self, shape: torch.Size) -> torch.Tensor:
        if self._memory.numel() < shape.numel():
            self._memory = torch.empty(shape.numel(), dtype=torch.uint8, pin_memory=True)
        return self._memory[: shape.numel()].view(shape)
