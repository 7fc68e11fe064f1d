"""Motion JPEG by nvJPEG: picture after picture without leaving the GPU, then one download of the small results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from torchvision.io import encode_jpeg

from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.encoders.gpu.canvases import nv12_canvas, rgb_canvas
from segtriton_server.encoders.gpu.downloads import PinnedDownload

ToPlanarRgb = Callable[[DevicePictures], torch.Tensor]


class NvjpegEncoder:
    """One JPEG a frame: full range and BT.601, as JFIF demands; any size, also an odd one."""

    name = "nvjpeg"
    codec = "mjpeg"
    extradata = b""
    takes_mask = False

    def __init__(self, setup: EncoderSetup, stream: torch.cuda.Stream, to_planar_rgb: ToPlanarRgb) -> None:
        """Prepare for a session whose pictures are drawn on `stream`.

        Args:
            setup: the session's; `output.quality` is JPEG's, 1 to 100.
            stream: the session's.
            to_planar_rgb: makes contiguous uint8 [n, 3, H, W] of NV12 pictures, on the current stream.
        """
        self.size_hw = setup.size_hw
        self._quality = setup.output.quality
        self._stream = stream
        self._to_planar_rgb = to_planar_rgb
        self._download = PinnedDownload(stream)

    def canvas(self, like: DevicePictures) -> Canvas:
        """Return pictures to draw on, NV12 or RGB like those given."""
        make = rgb_canvas if like.is_rgb else nv12_canvas
        return make(like, self.size_hw, self._stream)

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Take the drawn pictures, one tag each; return their JPEGs."""
        with torch.cuda.stream(self._stream):
            planar = self._planar(canvas.pictures)
        images = _encode_jpegs(planar, self._quality, self._stream)
        with torch.cuda.stream(self._stream):
            joined = torch.cat(images)
        content = self._download.fetch(joined).data
        bounds = pairwise(accumulate((image.numel() for image in images), initial=0))
        return [
            EncodedFrame(tag, bytes(content[start:end]), is_keyframe=True)
            for tag, (start, end) in zip(tags, bounds, strict=True)
        ]

    def encode_masks(self, masks: DeviceMasks, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Refuse: this encoder codes pictures."""
        raise TypeError("a picture encoder takes no bare mask")

    def flush(self) -> list[EncodedFrame]:
        """Return nothing: no picture is held back."""
        return []

    def close(self) -> None:
        """Release nothing: torchvision keeps one nvJPEG encoder for the whole process."""

    def _planar(self, pictures: DevicePictures) -> torch.Tensor:
        pictures.wait(self._stream)
        if pictures.is_rgb:
            return pictures.planes[0].permute(0, 3, 1, 2).contiguous()
        return self._to_planar_rgb(pictures)


def _encode_jpegs(planar: torch.Tensor, quality: int, stream: torch.cuda.Stream) -> list[torch.Tensor]:
    """Make JPEGs of RGB pictures [n, 3, H, W] that `stream` writes; it may read the results, flat uint8 tensors.

    torchvision's one encoder has a stream of its own and synchronises it with the stream that was current when the
    encoder was made, not with the caller's. So every session calls it on the default stream, and waits on both sides.
    """
    record_event(stream).synchronize()
    default_stream = torch.cuda.default_stream()
    with torch.cuda.stream(default_stream):
        images: list[torch.Tensor] = encode_jpeg(list(planar.unbind()), quality)
        stream.wait_event(record_event(default_stream))
    return images
