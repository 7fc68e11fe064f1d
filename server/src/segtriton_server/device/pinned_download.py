"""From a GPU's memory to the host's."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segtriton_server.device.pictures import record_event


class PinnedDownload:
    """Copies tensors into page-locked host memory that is kept from call to call: it grows, and never shrinks."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        """Take the stream that the copies run on; memory comes with the first one."""
        self._stream = stream
        self._host = torch.empty(0, dtype=torch.uint8, pin_memory=True)

    def fetch(self, tensor: torch.Tensor) -> NDArray[np.uint8]:
        """Copy a uint8 CUDA tensor of any shape, after what its stream was given so far, and wait for the copy.

        Returns:
            An array of the same shape, in memory that the next call overwrites.

        Raises:
            TypeError: the tensor holds something else than bytes.
        """
        if tensor.dtype != torch.uint8:
            raise TypeError(f"only bytes are downloaded, got {tensor.dtype}")
        size = tensor.numel()
        if size > self._host.numel():
            self._host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        host = self._host[:size].view(tensor.shape)
        with torch.cuda.stream(self._stream):
            host.copy_(tensor, non_blocking=True)
        record_event(self._stream).synchronize()
        array: NDArray[np.uint8] = host.numpy()
        return array
