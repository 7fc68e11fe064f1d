"""The sample's way, one stream in one thread: each stage for a batch of 4, at full size where the sample does so.

Decode, NV12 to RGB, resize, normalise, FCN-ResNet101 in float32, joint bilateral filter, blur, composite, encode. Where
the GPU has no encoder for video, JPEGs and x264 on one core take its place.

    python tests/bench/gpu/sample_way.py CLIP [--seconds N]
"""

import argparse
import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cvcuda
import torch
from children import wait_for_go
from gpu_clips import open_clip
from gpu_parts import DEVICE, INPUT_HW, MEAN_RGB, STD_RGB, NvdecLoop, fcn_resnet101, per_second
from torchvision.io import encode_jpeg

BATCH_SIZE = 4
CLASS_ID = 15  # person
BLUR_KERNEL, BLUR_SIGMA = (15, 15), (5.0, 5.0)
EDGE_DIAMETER, EDGE_COLOR, EDGE_SPACE = 5, 50.0, 1.0
JPEG_QUALITY = 85


class Exported:
    """A tensor as CV-CUDA takes it; all work is on one stream, so there is none to wait for."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.__cuda_array_interface__ = {
            "shape": tuple(tensor.shape),
            "strides": None,
            "data": (tensor.data_ptr(), False),
            "typestr": "|u1",
            "version": 3,
            "stream": -1,
        }
        self._tensor = tensor


class Images:
    """Pictures uint8 [BATCH_SIZE, height, width, channels], as both libraries see them."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.tensor = torch.zeros((BATCH_SIZE, height, width, channels), dtype=torch.uint8, device=DEVICE)
        self.images = cvcuda.as_tensor(Exported(self.tensor), "NHWC")


class SampleWay:
    """All stages but the encoder."""

    def __init__(self, packets: list[bytes], size_hw: tuple[int, int], stream: torch.cuda.Stream) -> None:
        height, width = size_hw
        self._stream = stream
        self._on_stream = cvcuda.as_stream(stream)
        self._frames = self._decode(NvdecLoop(packets, stream))
        self._network = fcn_resnet101().to(DEVICE)
        self._mean = torch.tensor(MEAN_RGB, device=DEVICE).view(1, 3, 1, 1)
        self._deviation = torch.tensor(STD_RGB, device=DEVICE).view(1, 3, 1, 1)
        self._nv12 = Images(height * 3 // 2, width, 1)
        self._rgb = Images(height, width, 3)
        self._grey, self._mask, self._smooth = (Images(height, width, 1) for _ in range(3))
        self._small, self._small_blurred = Images(*INPUT_HW, 3), Images(*INPUT_HW, 3)
        self._small_mask = Images(*INPUT_HW, 1)
        self._background = Images(height, width, 3)
        self.composite = Images(height, width, 3)
        self.composite_nv12 = Images(height * 3 // 2, width, 1)

    def decode(self) -> None:
        """Fill the batch with the next frames."""
        for row in self._nv12.tensor:
            row.view(row.shape[:2]).copy_(next(self._frames), non_blocking=True)

    def prepare(self) -> torch.Tensor:
        """Return the network's input, float32 [BATCH_SIZE, 3, h, w]."""
        self._convert(self._rgb, self._nv12, cvcuda.ColorConversion.YUV2RGB_NV12)
        cvcuda.resize_into(self._small.images, self._rgb.images, cvcuda.Interp.LINEAR, stream=self._on_stream)
        planar = self._small.tensor.permute(0, 3, 1, 2).float() / 255
        return ((planar - self._mean) / self._deviation).contiguous()

    def segment(self, inputs: torch.Tensor) -> None:
        """Make the small masks."""
        probability = torch.softmax(self._network(inputs)["out"], dim=1)[:, CLASS_ID]
        self._small_mask.tensor.copy_((probability * 255).to(torch.uint8).unsqueeze(3))

    def draw(self) -> None:
        """Composite the frames and their blurred selves."""
        on, linear = self._on_stream, cvcuda.Interp.LINEAR
        cvcuda.resize_into(self._mask.images, self._small_mask.images, linear, stream=on)
        border = cvcuda.Border.REPLICATE
        cvcuda.gaussian_into(self._small_blurred.images, self._small.images, BLUR_KERNEL, BLUR_SIGMA, border, stream=on)
        cvcuda.resize_into(self._background.images, self._small_blurred.images, linear, stream=on)
        cvcuda.cvtcolor_into(self._grey.images, self._rgb.images, cvcuda.ColorConversion.RGB2GRAY, stream=on)
        cvcuda.joint_bilateral_filter_into(
            self._smooth.images,
            self._mask.images,
            self._grey.images,
            EDGE_DIAMETER,
            EDGE_COLOR,
            EDGE_SPACE,
            stream=on,
        )
        cvcuda.composite_into(
            self.composite.images, self._rgb.images, self._background.images, self._smooth.images, stream=on
        )

    def to_nv12(self) -> None:
        """Convert the composites for a video encoder."""
        self._convert(self.composite_nv12, self.composite, cvcuda.ColorConversion.RGB2YUV_NV12)

    def step(self, encode: Callable[[], None]) -> int:
        """Do one batch from packets to coded frames; return how many frames it has."""
        self.decode()
        self.segment(self.prepare())
        self.draw()
        encode()
        self._stream.synchronize()
        return BATCH_SIZE

    def _convert(self, target: Images, source: Images, conversion: Any) -> None:
        cvcuda.advcvtcolor_into(
            target.images, source.images, conversion, cvcuda.ColorSpec.BT709, stream=self._on_stream
        )

    @staticmethod
    def _decode(decoder: NvdecLoop) -> Iterator[torch.Tensor]:
        for frames in decoder.groups():
            for frame in frames:
                yield torch.from_dlpack(frame)


class OneCoreX264:
    """x264 in the thread of all the rest."""

    def __init__(self, way: SampleWay, size_hw: tuple[int, int]) -> None:
        self._way = way
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.height, self._encoder.width = size_hw
        self._encoder.pix_fmt, self._encoder.time_base, self._encoder.framerate = "nv12", Fraction(1, 30), 30
        self._encoder.thread_count = 1
        self._encoder.options = {"preset": "ultrafast", "crf": "23"}
        self._next_pts = 0

    def encode(self) -> None:
        """Code the batch's composites."""
        self._way.to_nv12()
        for picture in self._way.composite_nv12.tensor.squeeze(3).cpu().numpy():
            frame = av.VideoFrame.from_ndarray(picture, "nv12")
            frame.pts, self._next_pts = self._next_pts, self._next_pts + 1
            self._encoder.encode(frame)


def encode_jpegs(way: SampleWay) -> list[torch.Tensor]:
    """Code the batch's composites one by one on the GPU and fetch them."""
    planar = way.composite.tensor.permute(0, 3, 1, 2).contiguous()
    return [jpeg.cpu() for jpeg in encode_jpeg(list(planar), quality=JPEG_QUALITY)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    clip = open_clip(options.clip)
    first = clip.frames(1)[0]
    size_hw = first.height, first.width
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.inference_mode():
        way = SampleWay(clip.annex_b(), size_hw, stream)
        x264 = OneCoreX264(way, size_hw)
        encoders: dict[str, Callable[[], Any]] = {
            "none": way.to_nv12,
            "mjpeg": lambda: encode_jpegs(way),
            "h264": x264.encode,
        }
        wait_for_go()
        speeds = {
            name: per_second(lambda encode=encode: way.step(encode), options.seconds)  # type: ignore[misc]
            for name, encode in encoders.items()
        }
    print(json.dumps(speeds))


if __name__ == "__main__":
    main()
