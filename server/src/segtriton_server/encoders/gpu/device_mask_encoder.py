"""The bare masks of a GPU, compressed on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from segtriton_server.device.pictures import DeviceMasks, DevicePictures
from segtriton_server.device.pinned_download import PinnedDownload
from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.encoders.mask_encoder import MaskEncoder


class DeviceMaskEncoder:
    """One download for a group of masks; each payload is what `MaskEncoder` makes of the mask."""

    name = MaskEncoder.name
    codec = MaskEncoder.codec
    pixel_format = MaskEncoder.pixel_format
    extradata = MaskEncoder.extradata
    takes_mask = True

    def __init__(self, setup: EncoderSetup, stream: torch.cuda.Stream) -> None:
        """Take the mask's size from the network; `stream` is where the downloads run."""
        self.size_hw = setup.mask_hw
        self._stream = stream
        self._encoder = MaskEncoder(setup)
        self._download = PinnedDownload(stream)

    def canvas(self, like: DevicePictures) -> Canvas:
        """Refuse: there is nothing to draw on."""
        raise TypeError("the mask encoder takes the bare mask")

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Refuse: there is nothing to draw on."""
        raise TypeError("the mask encoder takes the bare mask")

    def encode_masks(self, masks: DeviceMasks, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Compress masks [n, h, w], one tag each."""
        masks.wait(self._stream)
        planes = self._download.fetch(masks.tensor)
        encoded: list[EncodedFrame] = []
        for plane, tag in zip(planes, tags, strict=True):
            encoded += self._encoder.encode_masks(plane, [tag])
        return encoded

    def flush(self) -> list[EncodedFrame]:
        """Return nothing: no mask is held back."""
        return []

    def close(self) -> None:
        """Release nothing."""
