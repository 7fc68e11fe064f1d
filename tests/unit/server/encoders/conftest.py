"""The GPU encoders without a GPU: torch, nvJPEG and PyNvVideoCodec on NumPy, with streams that really lag."""

import ctypes
import importlib
from fractions import Fraction

import gpu_packages
import numpy as np
import pytest
from fake_nvenc import FakeNvenc
from fake_nvjpeg import FakeNvjpeg
from lagging_torch import FakeStream, FakeTensor, FakeTorch

from segtriton_protocol import ColorTags, OutputSpec
from segtriton_server.encoders.encoder import EncoderSetup, FrameTag

_GPU_MODULES = "segtriton_server.encoders.gpu"
_PICTURES = "segtriton_server.device.pictures"
_DOWNLOAD = "segtriton_server.device.pinned_download"
_MODULES = [
    _PICTURES,
    _DOWNLOAD,
    _GPU_MODULES,
    *(
        f"{_GPU_MODULES}.{name}"
        for name in (
            "canvases",
            "device_mask_encoder",
            "device_x264",
            "gpu_ladder",
            "nvenc_encoder",
            "nvjpeg",
            "nvjpeg_encoder",
        )
    ),
]


class Gpu:
    """The fakes, and the modules under test as they were imported on top of them."""

    def __init__(self, torch, jpeg, nvenc):
        self.torch, self.jpeg, self.nvenc = torch, jpeg, nvenc
        self.stream = FakeStream()
        self.pictures = importlib.import_module(_PICTURES)

    def module(self, name):
        return importlib.import_module(f"{_GPU_MODULES}.{name}")

    def like(self, height, width, count=1, rgb=False):
        shapes = [(height, width, 3)] if rgb else [(height, width, 1), (height // 2, width // 2, 2)]
        return self.pictures.DevicePictures(tuple(FakeTensor(np.zeros((count, *shape), np.uint8)) for shape in shapes))

    def draw(self, canvas, content):
        """Let the stream write NV12 [n, 3H/2, W] or RGB [n, H, W, 3] into a canvas, through its planes, later."""
        planes = canvas.pictures.planes
        if not canvas.pictures.is_rgb:
            height = canvas.pictures.size_hw[0]
            chroma = content[:, height:].reshape(planes[1].shape)
            content = content[:, :height, :, None]
            self.stream.enqueue(lambda: np.copyto(planes[1].array, chroma))
        self.stream.enqueue(lambda: np.copyto(planes[0].array, content))


@pytest.fixture
def gpu(monkeypatch):
    """The modules that need a GPU's packages, imported anew on top of fakes, and forgotten afterwards."""
    torch, jpeg, nvenc = FakeTorch(), FakeNvjpeg(), FakeNvenc()
    monkeypatch.setattr(ctypes, "CDLL", jpeg.load)
    with gpu_packages.replaced({"torch": torch, "PyNvVideoCodec": nvenc}, _MODULES):
        yield Gpu(torch, jpeg, nvenc)


@pytest.fixture
def setup_of():
    """Return a function that makes an encoder's setup of a size and of what the client asked for."""

    def make(height=64, width=96, frame_rate=Fraction(25), low_delay=False, num_frame_threads=1, **output):
        return EncoderSetup(
            size_hw=(height, width),
            mask_hw=(16, 24),
            time_base=Fraction(1, 25),
            frame_rate=frame_rate,
            color=ColorTags(1, 1, 1),
            output=OutputSpec(**output),
            num_threads=2,
            low_delay=low_delay,
            num_frame_threads=num_frame_threads,
        )

    return make


@pytest.fixture
def tags_of():
    """Return a function that makes the tags of frames by their numbers."""
    return lambda numbers: [FrameTag(number, 100 + 3 * number, 3) for number in numbers]
