"""The GPU encoders without a GPU: torch, nvJPEG and PyNvVideoCodec on NumPy, with streams that really lag."""

import ctypes
import importlib
import types
import weakref
from ctypes import CFUNCTYPE, POINTER, c_int, c_size_t, c_void_p
from fractions import Fraction
from typing import ClassVar

import gpu_packages
import numpy as np
import pytest
from torch_streams import TorchOnStreams

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


class FakeStream:
    """Does nothing of what it is given until somebody waits for it, as a GPU may."""

    handles = 0
    by_handle: ClassVar = weakref.WeakValueDictionary()

    def __init__(self):
        FakeStream.handles += 1
        self.cuda_stream = 0x1000 + FakeStream.handles
        FakeStream.by_handle[self.cuda_stream] = self
        self.device_index = 0
        self._work = []
        self._done = 0

    def enqueue(self, task):
        self._work.append(task)

    def wait_event(self, event):
        self.enqueue(event.synchronize)

    @property
    def end(self):
        return self._done + len(self._work)

    def run_until(self, end):
        while self._done < end:
            task = self._work.pop(0)
            self._done += 1
            task()


class FakeEvent:
    def __init__(self, blocking=False):
        assert blocking, "spinning takes the encoders' cores"
        self._stream, self._end = None, 0

    def record(self, stream):
        self._stream, self._end = stream, stream.end

    def synchronize(self):
        self._stream.run_until(self._end)


class FakeTensor:
    def __init__(self, array, pinned=False):
        self.array = array
        self.pinned = pinned

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        return FakeTensor(self.array[key], self.pinned)

    def __iter__(self):
        return iter(self.unbind())

    def numel(self):
        return self.array.size

    def view(self, *shape):
        if len(shape) == 1 and isinstance(shape[0], tuple):
            (shape,) = shape
        viewed = self.array.view()
        viewed.shape = shape  # raises where it would have to copy, as torch does
        return FakeTensor(viewed, self.pinned)

    def unsqueeze(self, axis):
        return FakeTensor(np.expand_dims(self.array, axis), self.pinned)

    def unbind(self):
        return tuple(FakeTensor(row, self.pinned) for row in self.array)

    def copy_(self, source, non_blocking):
        assert non_blocking
        assert self.shape == source.shape
        FakeTorch.current.enqueue(lambda: np.copyto(self.array, source.array))
        return self

    def data_ptr(self):
        return self.array.ctypes.data

    def numpy(self):
        return self.array


class FakeTorch(TorchOnStreams):
    """`current` is the stream of the only thread; `pinned` lists the sizes of host memory that was taken."""

    def __init__(self):
        super().__init__("torch")
        FakeTorch.current = self.default = FakeStream()
        self.uint8 = np.dtype(np.uint8)
        self.Tensor = FakeTensor
        self.pinned = []
        self.cuda = types.SimpleNamespace(
            Stream=FakeStream,
            Event=FakeEvent,
            stream=self.enter_stream,
            current_stream=lambda: FakeTorch.current,
        )

    def empty(self, shape, *, dtype, device="cpu", pin_memory=False):
        if pin_memory:
            self.pinned.append(shape)
        return FakeTensor(np.full(shape, 77, dtype), pin_memory)

    def zeros(self, shape, *, dtype, device):
        return FakeTensor(np.zeros(shape, dtype))


class FakeJpegState:
    """An encoder state: `picture` is there once the stream was waited for."""

    def __init__(self):
        self.picture = None
        self.is_busy = False


class FakeImage(ctypes.Structure):
    _fields_ = (("channel", c_void_p * 4), ("pitch", c_size_t * 4))


class FakeNvjpeg:
    """nvJPEG behind its C interface, strict about the order of calls; its work happens on the streams given.

    `places`: where the library is; `failures`: statuses by function; `alive`: what was made and not yet destroyed.
    """

    SUCCESS, INVALID_PARAMETER = 0, 2
    CHROMA_420, INPUT_RGBI = 2, 5

    def __init__(self):
        self.places = {"libnvjpeg.so.13"}
        self.loaded = []
        self.failures = {}
        self.made = []
        self.alive = {}
        self.most_busy = 0
        self._count = 0
        created = c_void_p, POINTER(c_void_p), c_void_p
        coded = c_void_p, c_void_p, c_void_p, POINTER(FakeImage), c_int, c_int, c_int, c_void_p
        retrieved = c_void_p, c_void_p, c_void_p, POINTER(c_size_t), c_void_p
        self._export("nvjpegCreateSimple", self._create_handle, POINTER(c_void_p))
        self._export("nvjpegEncoderStateCreate", self._create_state, *created)
        self._export("nvjpegEncoderParamsCreate", self._create_params, *created)
        self._export("nvjpegEncoderStateDestroy", self._destroy_state, c_void_p)
        self._export("nvjpegEncoderParamsDestroy", self._destroy_params, c_void_p)
        for option in ("Quality", "OptimizedHuffman", "SamplingFactors"):
            self._export(f"nvjpegEncoderParamsSet{option}", self._setter(option), c_void_p, c_int, c_void_p)
        self._export("nvjpegEncodeYUV", self._encode_yuv, *coded)
        self._export("nvjpegEncodeImage", self._encode_image, *coded)
        self._export("nvjpegEncodeRetrieveBitstream", self._retrieve, *retrieved)

    def load(self, place):
        """Stands in for ctypes.CDLL."""
        if place not in self.places:
            raise OSError(f"{place}: cannot open shared object file")
        self.loaded.append(place)
        return self

    def kinds_alive(self):
        return sorted(kind for kind, _ in self.alive.values())

    @staticmethod
    def jpeg(kind, size_hw, quality, content, number):
        """What it makes of a picture, the `number`th since the start: no two are of one length."""
        height, width = size_hw
        return f"{kind} {height}x{width} q{quality} css2 huff0:".encode() + content + b"." * number

    def _export(self, name, function, *types):
        def run(*arguments):
            if name in self.failures:
                return self.failures[name]
            try:
                function(*arguments)
            except (AssertionError, KeyError):  # would be lost in a callback
                return self.INVALID_PARAMETER
            return self.SUCCESS

        setattr(self, name, CFUNCTYPE(c_int, *types)(run))

    def _make(self, kind, thing, out):
        address = 0x7F00_0000_0000 + 16 * (len(self.made) + 1)  # cut to 32 bits, it is nobody's
        self.made.append(kind)
        self.alive[address] = kind, thing
        out[0] = address

    def _find(self, kind, address):
        found, thing = self.alive[address]
        assert found == kind
        return thing

    def _create_handle(self, out):
        self._make("handle", None, out)

    def _create_state(self, handle, out, stream):
        self._find("handle", handle)
        assert stream in FakeStream.by_handle
        self._make("state", FakeJpegState(), out)

    def _create_params(self, handle, out, stream):
        self._find("handle", handle)
        assert stream in FakeStream.by_handle
        self._make("params", {"Quality": 70, "OptimizedHuffman": 1, "SamplingFactors": 0}, out)

    def _destroy_state(self, state):
        self._find("state", state)
        del self.alive[state]

    def _destroy_params(self, params):
        self._find("params", params)
        del self.alive[params]

    def _setter(self, name):
        def set_it(params, value, stream):
            assert stream in FakeStream.by_handle
            self._find("params", params)[name] = value

        return set_it

    def _encode_yuv(self, handle, state, params, image, chroma, width, height, stream):
        assert chroma == self.CHROMA_420
        sizes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
        self._encode("yuv", (handle, state, params), image[0], (height, width), sizes, stream)

    def _encode_image(self, handle, state, params, image, layout, width, height, stream):
        assert layout == self.INPUT_RGBI
        self._encode("rgb", (handle, state, params), image[0], (height, width), ((height, 3 * width),), stream)

    def _encode(self, kind, things, image, size_hw, sizes, stream):
        handle, state, params = things
        self._find("handle", handle)
        state, options = self._find("state", state), self._find("params", params)
        assert not state.is_busy
        assert (options["SamplingFactors"], options["OptimizedHuffman"]) == (self.CHROMA_420, 0)
        planes = [(image.channel[i], image.pitch[i], *size) for i, size in enumerate(sizes)]
        quality, number = options["Quality"], self._count
        self._count += 1
        state.is_busy, state.picture = True, None
        self.most_busy = max(self.most_busy, sum(kind == "state" and s.is_busy for kind, s in self.alive.values()))

        def run():
            content = b"".join(
                ctypes.string_at(address + row * pitch, columns)
                for address, pitch, rows, columns in planes
                for row in range(rows)
            )
            state.picture = self.jpeg(kind, size_hw, quality, content, number)

        FakeStream.by_handle[stream].enqueue(run)

    def _retrieve(self, handle, state, data, length, stream):
        self._find("handle", handle)
        state = self._find("state", state)
        jpeg = state.picture
        assert jpeg is not None, "the stream was not waited for"
        size = c_size_t.from_address(ctypes.addressof(length.contents))
        if data is not None:
            assert size.value >= len(jpeg)
            state.is_busy = False

        def run():
            size.value = len(jpeg)
            if data is not None:
                ctypes.memmove(data, jpeg, len(jpeg))

        FakeStream.by_handle[stream].enqueue(run)


class FakePicParams:
    def __init__(self):
        self.inputTimeStamp = 0


class FakeNvencError(Exception):
    pass


class FakeNvencUnsupportedError(Exception):
    pass


class FakeNvencSession:
    """PyNvEncoder as bound by PyNvVideoCodec 2.2: late packets as dicts, strict about shapes and strides."""

    def __init__(self, library, width, height, options):
        self._library, self._width, self._height = library, width, height
        self.options = options
        self._held = []
        self.ended = False

    def GetSequenceParams(self):  # noqa: N802
        return b"\0\0\0\1\x67sps\0\0\0\1\x68pps"

    def Encode(self, frame, pic_params):  # noqa: N802
        assert not self.ended
        assert isinstance(pic_params, FakePicParams)
        luma, chroma = frame.cuda()
        height, width = self._height, self._width
        content = self._read(luma, (height, width, 1), (width, 1, 1))
        content += self._read(chroma, (height // 2, width // 2, 2), (width, 2, 1))
        number = len(self._library.encoded)
        self._library.encoded.append(content)
        kind = 3 if number % int(self.options["gop"]) == 0 else 0
        self._held.append({"data": b"packet" + content, "timestamp": pic_params.inputTimeStamp, "picture_type": kind})
        return self._release(self._library.delay)

    def EndEncode(self):  # noqa: N802
        self.ended = True
        return self._release(0)

    def _release(self, keep):
        count = max(0, len(self._held) - keep)
        released, self._held = self._held[:count], self._held[count:]
        return self._library.arrange(released)

    @staticmethod
    def _read(plane, shape, strides):
        interface = plane.__cuda_array_interface__
        assert interface["shape"] == shape
        assert interface["strides"] == strides
        assert interface["typestr"] == "|u1"
        address, is_read_only = interface["data"]
        assert not is_read_only
        return ctypes.string_at(address, int(np.prod(shape)))


class FakeNvenc(types.ModuleType):
    """`delay`: how many frames are held back; `failure`: what opening raises; `arrange`: may reorder or drop."""

    NV_ENC_PIC_PARAMS = FakePicParams
    PyNvVCException = FakeNvencError
    PyNvVCExceptionUnsupported = FakeNvencUnsupportedError

    def __init__(self):
        super().__init__("PyNvVideoCodec")
        self.delay = 1
        self.failure = None
        self.arrange = list
        self.sessions = []
        self.encoded = []

    def CreateEncoder(self, width, height, fmt, usecpuinputbuffer, **kwargs):  # noqa: N802
        assert (fmt, usecpuinputbuffer) == ("NV12", False)
        if self.failure is not None:
            raise self.failure
        session = FakeNvencSession(self, width, height, kwargs)
        self.sessions.append((width, height, kwargs, session))
        return session


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

    def make(height=64, width=96, frame_rate=Fraction(25), low_delay=False, **output):
        return EncoderSetup(
            size_hw=(height, width),
            mask_hw=(16, 24),
            time_base=Fraction(1, 25),
            frame_rate=frame_rate,
            color=ColorTags(1, 1, 1),
            output=OutputSpec(**output),
            num_threads=2,
            low_delay=low_delay,
        )

    return make


@pytest.fixture
def tags_of():
    """Return a function that makes the tags of frames by their numbers."""
    return lambda numbers: [FrameTag(number, 100 + 3 * number, 3) for number in numbers]
