"""Motion JPEG by nvJPEG: a group of pictures is coded on the session's stream, only the small results leave the GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import cast

import torch

from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.encoders.gpu.canvases import nv12_canvas, rgb_canvas
from segtriton_server.encoders.gpu.nvjpeg import JpegParameters, JpegState, open_nvjpeg

ToJpegPlanes = Callable[[DevicePictures], torch.Tensor]

# A state holds one picture; with several, the device need not wait for the host between the pictures of a group.
_MAX_STATES = 8


class NvjpegEncoder:
    """One JPEG in 4:2:0 a frame: full range and BT.601, as JFIF demands; any size, also an odd one."""

    name = "nvjpeg"
    codec = "mjpeg"
    pixel_format = "yuvj420p"
    extradata = b""
    takes_mask = False

    def __init__(self, setup: EncoderSetup, stream: torch.cuda.Stream, to_jpeg_planes: ToJpegPlanes) -> None:
        """Prepare for a session whose pictures are drawn on `stream`.

        Args:
            setup: the session's; `output.quality` is JPEG's, 1 to 100.
            stream: the session's.
            to_jpeg_planes: makes uint8 [n, 3 * H * W / 2] of NV12 pictures, on the current stream: planes Y, Cb and Cr
                in full range BT.601, one after another.

        Raises:
            NvjpegError: nvJPEG cannot be had, or does not work on this GPU.
        """
        self.size_hw = setup.size_hw
        self._stream = stream
        self._to_jpeg_planes = to_jpeg_planes
        self._nvjpeg = open_nvjpeg()
        self._parameters = JpegParameters(self._nvjpeg, setup.output.quality, stream.cuda_stream)
        self._states = [JpegState(self._nvjpeg, stream.cuda_stream)]
        self._host = torch.empty(0, dtype=torch.uint8, pin_memory=True)

    def canvas(self, like: DevicePictures) -> Canvas:
        """Return pictures to draw on, NV12 or RGB like those given."""
        make = rgb_canvas if like.is_rgb else nv12_canvas
        return make(like, self.size_hw, self._stream)

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Take the drawn pictures, one tag each; return their JPEGs. Raises NvjpegError where nvJPEG fails."""
        pictures = cast(DevicePictures, canvas.pictures)
        pictures.wait(self._stream)
        with torch.cuda.stream(self._stream):
            images = pictures.planes[0] if pictures.is_rgb else self._to_jpeg_planes(pictures)
        jpegs: list[bytes] = []
        for start in range(0, len(images), _MAX_STATES):
            jpegs += self._encode_images(images[start : start + _MAX_STATES], is_rgb=pictures.is_rgb)
        return [EncodedFrame(tag, jpeg, is_keyframe=True) for tag, jpeg in zip(tags, jpegs, strict=True)]

    def encode_masks(self, masks: DeviceMasks, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Refuse: this encoder codes pictures."""
        raise TypeError("a picture encoder takes no bare mask")

    def flush(self) -> list[EncodedFrame]:
        """Return nothing: no picture is held back."""
        return []

    def close(self) -> None:
        """Release nvJPEG's memory for this session."""
        for state in self._states:
            state.close()
        self._states.clear()
        self._parameters.close()

    def _encode_images(self, images: torch.Tensor, *, is_rgb: bool) -> list[bytes]:
        """Code up to `_MAX_STATES` images: RGB [n, H, W, 3] or planes [n, 3 * H * W / 2]."""
        states = self._take_states(len(images))
        for state, image in zip(states, images, strict=True):
            start = state.start_rgb if is_rgb else state.start_yuv420
            start(self._parameters, image.data_ptr(), *self.size_hw)
        self._wait()
        for state in states:
            state.measure()
        self._wait()
        return self._fetch(states)

    def _take_states(self, count: int) -> list[JpegState]:
        while len(self._states) < count:
            self._states.append(JpegState(self._nvjpeg, self._stream.cuda_stream))
        return self._states[:count]

    def _fetch(self, states: Sequence[JpegState]) -> list[bytes]:
        ends = list(accumulate(state.length for state in states))
        starts = [0, *ends[:-1]]
        if ends[-1] > self._host.numel():
            self._host = torch.empty(ends[-1], dtype=torch.uint8, pin_memory=True)
        for state, start in zip(states, starts, strict=True):
            state.fetch(self._host.data_ptr() + start)
        self._wait()
        content = memoryview(self._host.numpy())
        return [bytes(content[start:end]) for start, end in zip(starts, ends, strict=True)]

    def _wait(self) -> None:
        record_event(self._stream).synchronize()
