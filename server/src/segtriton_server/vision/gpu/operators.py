"""CV-CUDA's operators on torch's tensors and streams."""

from __future__ import annotations

from functools import cache

import cvcuda
import torch

_TYPES = {torch.uint8: "|u1", torch.float32: "<f4"}


class _Exported:
    """A tensor as CV-CUDA takes it, without an event for a stream that we order ourselves."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.__cuda_array_interface__ = {
            "shape": tuple(tensor.shape),
            "strides": tuple(step * tensor.element_size() for step in tensor.stride()),
            "data": (tensor.data_ptr(), False),
            "typestr": _TYPES[tensor.dtype],
            "version": 3,
            "stream": -1,
        }
        self._tensor = tensor


@cache
def _stream(handle: int) -> cvcuda.Stream:
    return cvcuda.as_stream(handle)


def _current_stream() -> cvcuda.Stream:
    return _stream(torch.cuda.current_stream().cuda_stream)


def _images(tensor: torch.Tensor) -> cvcuda.Tensor:
    return cvcuda.as_tensor(_Exported(tensor), "NHWC")


def limit_cache(num_bytes: int) -> None:
    """Bound the GPU memory that CV-CUDA keeps for reuse in this process."""
    cvcuda.set_cache_limit_inbytes(num_bytes)


def gaussian(cells: torch.Tensor, out: torch.Tensor, sigma: float) -> None:
    """Blur float32 [n, h, w, 4] over three standard deviations; borders are mirrored."""
    size = 2 * round(3 * sigma) + 1
    cvcuda.gaussian_into(
        _images(out), _images(cells), (size, size), (sigma, sigma), cvcuda.Border.REFLECT, stream=_current_stream()
    )


def joint_bilateral(
    mask: torch.Tensor, guide: torch.Tensor, out: torch.Tensor, diameter: int, color: float, space: float
) -> None:
    """Smooth masks uint8 [n, h, w, 1] except across the edges of a guide of the same shape.

    Args:
        mask: what is smoothed.
        guide: whose edges are kept.
        out: the result.
        diameter: of the neighbourhood, in pixels.
        color: standard deviation of the guide's levels.
        space: standard deviation in pixels.
    """
    cvcuda.joint_bilateral_filter_into(
        _images(out),
        _images(mask),
        _images(guide),
        diameter,
        color,
        space,
        cvcuda.Border.REPLICATE,
        stream=_current_stream(),
    )
