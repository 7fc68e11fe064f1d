"""NVDEC without a GPU: torch and PyNvVideoCodec on NumPy, with a decoder that reuses its few buffers."""

import contextlib
import ctypes
import importlib
import types
from fractions import Fraction
from types import SimpleNamespace

import gpu_packages
import numpy as np
from torch_streams import TorchOnStreams

from segtriton_protocol import Packet, VideoFormat

_MODULES = [
    "segtriton_server.device.memory",
    "segtriton_server.device.pictures",
    "segtriton_server.device.pinned_upload",
    "segtriton_server.device.streams",
    *(f"segtriton_server.media.{name}" for name in ("gpu_decoders", "nvdec", "nvdec_pool", "uploading_decoder")),
]
VIDEO = VideoFormat("vp9", 8, 4, Fraction(1, 25), pixel_format="yuv420p")
HELD = 3  # pictures that NATIVE holds back
REFUSED, BROKEN = b"refused", b"broken"


class FakeTensor(np.ndarray):
    def unbind(self):
        return tuple(self)

    def unsqueeze(self, axis):
        return np.expand_dims(self, axis)

    def view(self, *shape):
        return self.reshape(shape) if len(shape) > 1 else super().view(*shape)

    def copy_(self, source, non_blocking):
        assert non_blocking
        assert FakeTorch.current is not None, "copied on another stream than the decoder's"
        assert self.shape == source.shape
        self[...] = source
        return self


class FakeStream:
    handles = 0

    def __init__(self):
        FakeStream.handles += 1
        self.cuda_stream = FakeStream.handles


class FakeEvent:
    def __init__(self, blocking=False):
        assert blocking, "spinning takes the encoders' cores"
        self.stream = None

    def record(self, stream):
        self.stream = stream


class FakeTorch(TorchOnStreams):
    def __init__(self):
        super().__init__("torch")
        FakeTorch.current = None
        self.uint8 = np.dtype(np.uint8)
        self.Tensor = FakeTensor
        self.num_short_of_memory = 0
        self.num_emptied = 0
        self.cuda = SimpleNamespace(
            Stream=FakeStream,
            Event=FakeEvent,
            stream=self.enter_stream,
            current_stream=lambda: FakeTorch.current,
            OutOfMemoryError=MemoryError,
            empty_cache=self.empty_cache,
        )

    def empty_cache(self):
        self.num_emptied += 1

    def empty(self, shape, *, dtype, device="cpu", pin_memory=False):
        if self.num_short_of_memory:
            self.num_short_of_memory -= 1
            raise MemoryError
        return np.full(shape, 77, dtype).view(FakeTensor)

    def from_dlpack(self, capsule):
        return capsule.view(FakeTensor)


class FakeError(Exception):
    pass


class FakeUnsupportedError(FakeError):
    pass


class FakePacket:
    def __init__(self):
        self.bsl = self.bsl_data = self.pts = self.decode_flag = 0


class FakeFrame:
    def __init__(self, pts, memory):
        self._pts, self._memory = pts, memory

    def __dlpack__(self, stream):
        assert stream == FakeTorch.current.cuda_stream, "nobody would wait for the decoder"
        return self._memory

    def getPTS(self):  # noqa: N802
        return self._pts


class FakeDecoder:
    """A packet holds (height, width, value, bits); pictures come in the order of their pts, from buffers used again."""

    def __init__(self, options):
        self.options = options
        self.sizes = []
        self._held = []
        self._buffers = {}
        self._limit = HELD if options["latency"] == "native" else 0

    def setReconfigParams(self, width, height):  # noqa: N802
        assert width <= self.options["maxwidth"]
        assert height <= self.options["maxheight"]
        assert not self._held, "not flushed"
        self.sizes.append((width, height))

    def Decode(self, packet):  # noqa: N802
        for buffers in self._buffers.values():
            for buffer in buffers:
                buffer[...] = 0xEE
        if not packet.bsl:
            return self._release(0)
        assert packet.decode_flag == "end of picture"
        payload = ctypes.string_at(packet.bsl_data, packet.bsl)
        if payload == REFUSED:
            raise FakeUnsupportedError("Codec not supported on this GPU")
        if payload == BROKEN:
            raise FakeError("it broke")
        self._held.append((packet.pts, payload))
        self._held.sort()
        return self._release(self._limit)

    def _release(self, keep):
        count = max(0, len(self._held) - keep)
        released, self._held = self._held[:count], self._held[count:]
        return [self._frame(*entry, number) for number, entry in enumerate(released)]

    def _frame(self, pts, payload, number):
        height, width, value, bits = payload
        buffers = self._buffers.setdefault((height, width, bits), [])
        while len(buffers) <= number:
            buffers.append(np.zeros((height * 3 // 2, width), np.uint8 if bits == 8 else np.uint16))
        # The bits that are lost are set, as far as they are there.
        buffers[number][...] = value if bits == 8 else value << 8 | 0xC0
        return FakeFrame(pts, buffers[number])


class FakeNvc(types.ModuleType):
    PacketData = FakePacket
    PyNvVCException = FakeError
    PyNvVCExceptionUnsupported = FakeUnsupportedError
    VideoPacketFlag = SimpleNamespace(ENDOFPICTURE="end of picture")
    DisplayDecodeLatencyType = SimpleNamespace(LOW="low", NATIVE="native")
    cudaVideoCodec = SimpleNamespace(H264="H264", HEVC="HEVC", VP8="VP8", VP9="VP9", AV1="AV1")  # noqa: N815
    cudaVideoChromaFormat = int  # noqa: N815

    def __init__(self):
        super().__init__("PyNvVideoCodec")
        self.created = []

    def CreateDecoder(self, **options):  # noqa: N802
        assert options["gpuid"] == 0
        assert options["usedevicememory"] is True
        self.created.append(FakeDecoder(options))
        return self.created[-1]

    def GetDecoderCaps(self, **options):  # noqa: N802
        return {"num_decoder_engines": 1}


class Gpu:
    """The fakes, and the modules under test as they were imported on top of them."""

    def __init__(self, torch, nvc):
        self.torch = torch
        self.nvc = nvc
        self.nvdec = importlib.import_module("segtriton_server.media.nvdec")
        self.decoders = importlib.import_module("segtriton_server.media.gpu_decoders")
        self.pools = importlib.import_module("segtriton_server.media.nvdec_pool")
        self.pool = self.pools.NvdecPool(2)

    def open(self, video=VIDEO, group_size=4, low_delay=True):
        return self.nvdec.NvdecDecoder(video, self.pool, self.nvc, group_size=group_size, low_delay=low_delay)


@contextlib.contextmanager
def fake_gpu():
    """The modules that need a GPU's packages, imported anew on top of fakes, and forgotten afterwards."""
    torch, nvc = FakeTorch(), FakeNvc()
    with gpu_packages.replaced({"torch": torch, "PyNvVideoCodec": nvc}, _MODULES):
        yield Gpu(torch, nvc)


def coded(seq, value=None, size_hw=(4, 8), bits=8, pts=None):
    value = 10 + seq if value is None else value
    payload = bytes([*size_hw, value, bits])
    return Packet(seq, 100 + 10 * seq if pts is None else pts, None, 10, seq == 0, payload)


def raw(seq, payload):
    return Packet(seq, 100 + 10 * seq, None, 10, False, payload)


def shape_of(decoded):
    """The numbers of each group."""
    return [group.seqs for group in decoded.groups]


def check_values(decoded, value_of):
    for group in decoded.groups:
        assert len(group.pictures) == len(group.seqs)
        for plane in group.pictures.planes:
            for seq, pixels in zip(group.seqs, plane, strict=True):
                assert set(np.unique(pixels).tolist()) == {value_of(seq)}
