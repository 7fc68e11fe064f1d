"""x264 on the CPU for pictures that lie in a GPU's memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast

import numpy as np
import torch
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from segtriton_server.device.pictures import DeviceMasks, DevicePictures
from segtriton_server.device.pinned_download import PinnedDownload
from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.encoders.gpu.canvases import nv12_canvas
from segtriton_server.encoders.libav_encoder import X264Encoder


class DeviceX264Encoder:
    """One download for a group of NV12 pictures, then x264, which reads them where they arrived.

    Where pictures may be held back, x264 is called on a thread of its own: the next group is drawn and downloaded
    while one is coded, and what a group gives comes out with the next.
    """

    name = X264Encoder.name
    codec = X264Encoder.codec
    takes_mask = False

    def __init__(self, setup: EncoderSetup, stream: torch.cuda.Stream) -> None:
        """Open x264 for pictures that `stream` draws; raises av.FFmpegError where libx264 cannot be had."""
        self.size_hw = setup.size_hw
        self._stream = stream
        self._encoder = X264Encoder(setup, pix_fmt="nv12")
        self.pixel_format = self._encoder.pixel_format
        self._thread = ThreadPoolExecutor(1, "x264") if setup.num_frame_threads > 1 else None
        self._coding: Future[list[EncodedFrame]] | None = None
        self._downloads = deque(PinnedDownload(stream) for _ in range(2 if self._thread else 1))

    @property
    def extradata(self) -> bytes:
        """The parameter sets."""
        return self._encoder.extradata

    def canvas(self, like: DevicePictures) -> Canvas:
        """Return NV12 pictures to draw on; raises TypeError where `like` is RGB."""
        return nv12_canvas(like, self.size_hw, self._stream)

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Take the drawn pictures, one tag each; return what is ready."""
        cast(DevicePictures, canvas.pictures).wait(self._stream)
        # x264 has copied a picture when its call returns; only the group before this one may not be with x264 yet.
        pictures = self._downloads[0].fetch(cast(torch.Tensor, canvas.owner))
        self._downloads.rotate()  # only now: where memory ran out the call is made again
        if self._thread is None:
            return self._code(pictures, tags)
        encoded = self._take_coded()
        self._coding = self._thread.submit(self._code, pictures, tags)
        return encoded

    def encode_masks(self, masks: DeviceMasks, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Refuse: this encoder codes pictures."""
        raise TypeError("a picture encoder takes no bare mask")

    def flush(self) -> list[EncodedFrame]:
        """Return what is left at the end."""
        return self._take_coded() + self._encoder.flush()

    def close(self) -> None:
        """Release the encoder."""
        if self._thread is not None:
            self._thread.shutdown()
        self._encoder.close()

    def _take_coded(self) -> list[EncodedFrame]:
        encoded = self._coding.result() if self._coding is not None else []
        self._coding = None  # only now: what failed once is not passed over where the call is made again
        return encoded

    def _code(self, pictures: NDArray[np.uint8], tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        encoded: list[EncodedFrame] = []
        for picture, tag in zip(pictures, tags, strict=True):
            encoded += self._encoder.encode_frame(nv12_frame(picture), tag)
        return encoded


def nv12_frame(picture: NDArray[np.uint8]) -> VideoFrame:
    """An NV12 picture [3 * H / 2, W] as a frame, on the picture's own memory where PyAV can do that."""
    if picture.shape[0] % 6 == 0:
        return VideoFrame.from_numpy_buffer(picture, format="nv12")
    # PyAV takes the height for a multiple of four there, and would lose two rows and misplace the chroma.
    return VideoFrame.from_ndarray(picture, format="nv12")
