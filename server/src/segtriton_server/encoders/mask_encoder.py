"""The mask alone, at the network's size, compressed without loss: the rung for servers that cannot encode."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.frames import Picture, Plane

_LEVEL = 1  # a mask is smooth; higher levels cost time and win little


class MaskEncoder:
    """Each payload is a zlib stream of height * width bytes, 255 where the subject is."""

    name = "mask"
    codec = "rawmask_zlib"
    pixel_format = "gray"
    extradata = b""
    takes_mask = True

    def __init__(self, setup: EncoderSetup) -> None:
        """Take the mask's size from the network."""
        self.size_hw = setup.mask_hw

    def canvas(self, like: Picture) -> Canvas:
        """Refuse: there is nothing to draw on."""
        raise TypeError("the mask encoder takes the bare mask")

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Refuse: there is nothing to draw on."""
        raise TypeError("the mask encoder takes the bare mask")

    def encode_masks(self, masks: Plane, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Compress one mask [h, w] with its one tag."""
        (tag,) = tags
        return [EncodedFrame(tag, zlib.compress(masks.tobytes(), _LEVEL), is_keyframe=True)]

    def flush(self) -> list[EncodedFrame]:
        """Return nothing: no mask is held back."""
        return []

    def close(self) -> None:
        """Release nothing."""
