"""Steadier masks with softer edges on a GPU: what `vision.matte` does, on a session's groups of masks."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, pad

from segtriton_protocol.matte_spec import MatteSpec
from segtriton_server.device.pictures import DeviceMasks, DevicePictures
from segtriton_server.vision.matte import REAL_CHANGE, feather_reach


def create_matte(spec: MatteSpec, stream: torch.cuda.Stream) -> GpuMatte | None:
    """Return what refines a session's masks; None where nothing that a GPU does would change them.

    The network's masks follow the picture's edges already (`vision.gpu.segmenter`), and each frame has one of its own.
    """
    return GpuMatte(spec, stream) if spec.smoothing or spec.feather else None


class GpuMatte:
    """One session's masks, in the order of its frames, on the stream that draws them.

    Attributes:
        remembers: whether a mask depends on those of earlier frames.
    """

    def __init__(self, spec: MatteSpec, stream: torch.cuda.Stream) -> None:
        """Take what to do; see `MatteSpec`."""
        self.remembers = spec.smoothing > 0
        self._spec = spec
        self._stream = stream
        self._steady: torch.Tensor | None = None

    def wants_mask(self, network_input: DevicePictures) -> bool:
        """Always: to look whether a picture moves, the thread would have to wait for the device."""
        return True

    def restart(self) -> None:
        """Do nothing: a group may hold frames before the one that a resumed session would begin with."""

    def refine(self, pictures: DevicePictures, masks: DeviceMasks) -> DeviceMasks:
        """The masks to draw, uint8 [n, h, w], for reads on the session's stream."""
        with torch.cuda.stream(self._stream), torch.inference_mode():
            masks.wait(self._stream)
            # The network's memory goes back with the last reference, which is given up here before it was read.
            masks.tensor.record_stream(self._stream)
            refined, steady = masks.tensor, self._steady
            if self._spec.smoothing:
                refined, steady = steadied(refined, steady, self._spec.smoothing)
            if self._spec.feather:
                refined = feathered(refined, self._spec.feather)
            # Not before all has gone well: without memory, the call is made again.
            self._steady = steady
            return DeviceMasks(refined)


def steadied(
    masks: torch.Tensor, steady: torch.Tensor | None, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Follow masks at once where they really change, and slowly where they only tremble.

    Args:
        masks: uint8 [n, h, w], of following frames.
        steady: float32 [h, w], what the call before returned; None for a session's first.
        smoothing: how much of the last mask is kept, 0..1.

    Returns:
        The masks uint8 [n, h, w], and what the next call needs.
    """
    result = torch.empty_like(masks)
    for mask, out in zip(masks, result, strict=True):
        if steady is None:
            steady = mask.float()
        else:
            change = mask - steady
            steady = steady + change * (1 - smoothing * (1 - change.abs() / REAL_CHANGE).clamp(0, 1))
        out.copy_(steady.round())
    return result, steady


def feathered(masks: torch.Tensor, feather: float) -> torch.Tensor:
    """Widen the edges of masks uint8 [n, h, w], as `vision.matte` does."""
    reach = feather_reach(feather, (masks.shape[1], masks.shape[2]))
    side = 2 * reach + 1
    soft = masks.unsqueeze(1).float()
    for _ in range(2):
        soft = pad(soft, (reach, reach, reach, reach), mode="reflect")
        soft = avg_pool2d(avg_pool2d(soft, (1, side), stride=1), (side, 1), stride=1)
    widened = 2 * soft if feather > 0 else 2 * soft - 255
    return widened.round().clamp(0, 255).squeeze(1).to(torch.uint8)
