"""NVDEC without a GPU: torch and PyNvVideoCodec on NumPy, with a decoder that reuses its few buffers."""

import ctypes
import importlib
import sys
import threading
import time
import types
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import gpu_packages
import numpy as np
import pytest
from torch_streams import TorchOnStreams

from segtriton_protocol import ColorTags, ErrorCode, Framing, Packet, SegtritonError, VideoFormat
from segtriton_server.frames import ColorMatrix, ColorRange
from segtriton_server.media.decoder import Decoded, FrameGroup
from segtriton_server.settings import Settings

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

    def from_dlpack(self, frame):
        return frame.memory.view(FakeTensor)


class FakeError(Exception):
    pass


class FakeUnsupportedError(FakeError):
    pass


class FakePacket:
    def __init__(self):
        self.bsl = self.bsl_data = self.pts = self.decode_flag = 0


class FakeFrame:
    def __init__(self, pts, memory):
        self._pts, self.memory = pts, memory

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


@pytest.fixture
def gpu():
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


# ------------------------------------------------------------------ decoder


def test_pictures_come_in_groups_at_the_end_of_the_call(gpu):
    decoder = gpu.open()
    first = decoder.decode([coded(seq) for seq in range(6)])
    second = decoder.decode([coded(6)])

    assert shape_of(first) == [(0, 1, 2, 3), (4, 5)]
    assert shape_of(second) == [(6,)]
    for decoded in (first, second):
        assert decoded.damaged == 0
        check_values(decoded, lambda seq: 10 + seq)  # the decoder's own buffers hold others by now


def test_memory_that_is_back_in_a_moment_costs_no_picture(gpu):
    decoder = gpu.open()
    gpu.torch.num_short_of_memory = 2
    decoded = decoder.decode([coded(seq) for seq in range(6)])

    assert shape_of(decoded) == [(0, 1, 2, 3), (4, 5)]
    check_values(decoded, lambda seq: 10 + seq)
    assert gpu.torch.num_emptied == 2


def test_planes_are_nv12_and_ready_on_the_decoders_stream(gpu):
    (group,) = gpu.open(replace(VIDEO, color=ColorTags(matrix=9, full_range=True))).decode([coded(0), coded(1)]).groups
    luma, chroma = group.pictures.planes

    assert (luma.shape, chroma.shape) == ((2, 4, 8, 1), (2, 2, 4, 2))
    assert group.pictures.size_hw == (4, 8)
    assert (group.pictures.matrix, group.pictures.color_range) == (ColorMatrix.BT2020, ColorRange.FULL)
    assert group.pictures.ready.stream.cuda_stream == gpu.nvc.created[0].options["cudastream"]


def test_a_group_ends_where_the_size_changes(gpu):
    sizes = [(4, 8), (4, 8), (8, 4), (8, 4), (4, 8)]
    decoded = gpu.open().decode([coded(seq, size_hw=size) for seq, size in enumerate(sizes)])

    assert shape_of(decoded) == [(0, 1), (2, 3), (4,)]
    assert [group.pictures.size_hw for group in decoded.groups] == [(4, 8), (8, 4), (4, 8)]
    check_values(decoded, lambda seq: 10 + seq)


def test_more_bits_than_eight_lose_the_least(gpu):
    decoded = gpu.open().decode([coded(seq, bits=10) for seq in range(3)])

    assert shape_of(decoded) == [(0, 1, 2)]
    assert decoded.groups[0].pictures.planes[0].dtype == np.uint8
    check_values(decoded, lambda seq: 10 + seq)


def test_pictures_held_back_come_with_the_flush(gpu):
    decoder = gpu.open(low_delay=False)
    first, rest = decoder.decode([coded(seq) for seq in range(5)]), decoder.flush()

    assert gpu.nvc.created[0].options["latency"] == "native"
    assert shape_of(first) == [(0, 1)]
    assert shape_of(rest) == [(2, 3, 4)]
    check_values(rest, lambda seq: 10 + seq)


def test_live_sessions_get_each_picture_at_once(gpu):
    decoder = gpu.open(low_delay=True)

    assert gpu.nvc.created[0].options["latency"] == "low"
    assert [shape_of(decoder.decode([coded(seq)])) for seq in range(3)] == [[(0,)], [(1,)], [(2,)]]


def test_pictures_shown_out_of_their_order_keep_their_numbers(gpu):
    decoder = gpu.open(low_delay=False)
    order = [0, 30, 10, 20, 60, 40, 50]
    groups = [
        *decoder.decode([coded(seq, pts=pts) for seq, pts in enumerate(order)]).groups,
        *decoder.flush().groups,
    ]

    assert [seq for group in groups for seq in group.seqs] == [0, 2, 3, 1, 5, 6, 4]
    check_values(Decoded(groups), lambda seq: 10 + seq)


def test_a_packet_that_is_damaged_costs_no_other(gpu):
    header = b"\1\x64\0\x1f\xff\xe0\0"  # lengths of four bytes, no parameter sets
    video = replace(VIDEO, codec="h264", framing=Framing.LENGTH_PREFIXED, extradata=header)
    decoder = gpu.open(video, low_delay=True)
    start_code_and_unit = []
    gpu.nvc.created[0].Decode = lambda packet: start_code_and_unit.append(
        ctypes.string_at(packet.bsl_data, packet.bsl)
    ) or []  # fmt: skip
    decoded = decoder.decode([raw(0, b"\0\0\0\2ab"), raw(1, b"\0\0\1\0ab"), raw(2, b"\0\0\0\1c")])

    assert decoded.damaged == 1
    assert start_code_and_unit == [b"\0\0\0\1ab", b"\0\0\0\1c"]


def test_what_breaks_later_is_damage_and_the_decoder_is_not_used_again(gpu):
    decoder = gpu.open()
    decoded = decoder.decode([coded(0), raw(1, BROKEN), coded(2)])
    decoder.close()
    gpu.open()

    assert shape_of(decoded) == [(0, 2)]
    assert decoded.damaged == 1
    assert len(gpu.nvc.created) == 2


# ------------------------------------------------------------------ pool


def test_a_closed_decoder_is_used_again_and_brings_no_picture_of_the_last_session(gpu):
    first = gpu.open(low_delay=False)
    first.decode([coded(seq) for seq in range(5)])
    first.close()
    first.close()
    second, third = gpu.open(low_delay=False), gpu.open(low_delay=False)
    decoded = second.decode([coded(seq, value=200 + seq) for seq in range(5)])

    assert len(gpu.nvc.created) == 2, "the second takes the first's decoder, the third one of its own"
    assert gpu.nvc.created[0].sizes == []
    assert shape_of(decoded) == [(0, 1)]
    check_values(decoded, lambda seq: 200 + seq)
    third.close()


@pytest.mark.parametrize("payload", [REFUSED, BROKEN])
def test_a_decoder_that_refused_its_stream_is_not_used_again(gpu, payload):
    decoder = gpu.open()
    with pytest.raises(gpu.nvdec.UnsupportedStreamError):
        decoder.decode([raw(0, payload)])
    decoder.close()
    gpu.open()

    assert len(gpu.nvc.created) == 2


def test_a_flush_that_fails_costs_the_decoder_only(gpu):
    decoder = gpu.open()
    decoder.decode([coded(0)])

    def fail(packet):
        raise FakeError("it broke")

    gpu.nvc.created[0].Decode = fail
    decoder.close()
    gpu.open()

    assert len(gpu.nvc.created) == 2


def acquire(gpu, codec="vp9", pixel_format="yuv420p", low_delay=False, size_wh=(640, 360)):
    return gpu.pool.acquire(gpu.nvc, gpu.pools.DecoderKind(codec, pixel_format, low_delay), size_wh)


def test_a_decoder_of_another_size_is_told_so(gpu):
    pooled = acquire(gpu, size_wh=(640, 360))
    gpu.pool.give_back(pooled)

    assert acquire(gpu, size_wh=(1280, 720)) is pooled
    assert pooled.decoder.sizes == [(1280, 720)]
    assert pooled.size_wh == (1280, 720)


def test_one_of_the_same_size_is_taken_first(gpu):
    pooled = [acquire(gpu, size_wh=size_wh) for size_wh in ((640, 360), (1280, 720))]
    for one in pooled:
        gpu.pool.give_back(one)

    assert acquire(gpu, size_wh=(640, 360)) is pooled[0]
    assert pooled[0].decoder.sizes == []


@pytest.mark.parametrize(
    "other",
    [
        {"codec": "h264"},
        {"pixel_format": "yuv420p10le"},
        {"low_delay": True},
        {"size_wh": (4096, 2160)},
        {"size_wh": (360, 4096)},
    ],
)
def test_what_an_idle_decoder_cannot_do_gets_a_new_one(gpu, other):
    gpu.pool.give_back(acquire(gpu))
    pooled = acquire(gpu, **other)

    assert len(gpu.nvc.created) == 2
    assert pooled.decoder is gpu.nvc.created[1]


def test_no_two_sessions_share_a_stream_or_a_decoder(gpu):
    pooled = [acquire(gpu) for _ in range(3)]

    assert len({id(one.decoder) for one in pooled}) == 3
    assert [one.stream.cuda_stream for one in pooled] == [made.options["cudastream"] for made in gpu.nvc.created]
    assert len({one.stream.cuda_stream for one in pooled}) == 3


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_the_oldest_idle_decoders_go_first(gpu, spare):
    gpu.pool = gpu.pools.NvdecPool(spare)
    pooled = [acquire(gpu) for _ in range(3)]
    for one in pooled:
        gpu.pool.give_back(one)
    again = [acquire(gpu) for _ in range(3)]

    kept = pooled[len(pooled) - spare :]
    assert {id(one) for one in again} & {id(one) for one in pooled} == {id(one) for one in kept}


def test_threads_never_get_the_same_decoder(gpu):
    gpu.pool = gpu.pools.NvdecPool(8)
    lent, clashes = set(), []

    def use():
        for _ in range(300):
            pooled = acquire(gpu)
            if id(pooled) in lent:
                clashes.append(pooled)
            lent.add(id(pooled))
            time.sleep(0)  # lets another thread try
            lent.discard(id(pooled))
            gpu.pool.give_back(pooled)

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert clashes == []
    assert len(gpu.nvc.created) <= 6


# ------------------------------------------------------------------ changing over


class FakeCpuDecoder:
    """Gives each packet back as a group, and one at the end."""

    def __init__(self, reason):
        self.name = f"cpu ({reason})"
        self.closed = False

    def decode(self, packets):
        return Decoded([FrameGroup((packet.seq,), None) for packet in packets], damaged=1)

    def flush(self):
        return Decoded([FrameGroup((99,), None)])

    def close(self):
        self.closed = True


@pytest.fixture
def switching(gpu):
    """Return a decoder that begins with NVDEC, and the list of CPU decoders that it opened."""
    opened = []

    def open_second(reason):
        opened.append(FakeCpuDecoder(reason))
        return opened[-1]

    return lambda low_delay=True: (gpu.decoders.SwitchingDecoder(gpu.open(low_delay=low_delay), open_second), opened)


def test_a_stream_that_nvdec_refuses_begins_anew_on_the_cpu(gpu, switching):
    decoder, opened = switching(low_delay=False)

    assert shape_of(decoder.decode([coded(0), coded(1)])) == []  # held back
    assert "nvdec" in decoder.name
    decoded = decoder.decode([coded(2), raw(3, REFUSED), coded(4)])

    assert shape_of(decoded) == [(0,), (1,), (2,), (3,), (4,)]
    assert decoded.damaged == 1
    assert decoder.name.startswith("cpu (NVDEC")
    assert shape_of(decoder.decode([coded(5)])) == [(5,)]
    assert shape_of(decoder.flush()) == [(99,)]
    decoder.close()
    assert [cpu.closed for cpu in opened] == [True]


def test_a_stream_refused_at_its_end_begins_anew_too(gpu, switching):
    decoder, _ = switching(low_delay=False)
    decoder.decode([coded(0), coded(1)])

    def refuse(packet):
        raise FakeUnsupportedError("Codec not supported on this GPU")

    gpu.nvc.created[0].Decode = refuse
    decoded = decoder.flush()

    assert shape_of(decoded) == [(0,), (1,), (99,)]
    assert decoded.damaged == 1


def test_a_stream_that_changes_after_its_first_picture_is_refused(switching):
    decoder, opened = switching()
    decoder.decode([coded(0)])

    with pytest.raises(SegtritonError) as raised:
        decoder.decode([raw(1, REFUSED)])
    assert raised.value.code is ErrorCode.UNSUPPORTED_FORMAT
    assert opened == []


@pytest.mark.parametrize(("count", "num_bytes"), [(200, 4), (5, 10 << 20)])
def test_what_is_kept_is_bounded(gpu, switching, count, num_bytes):
    decoder, opened = switching()
    gpu.nvc.created[0].Decode = lambda packet: []
    packets = [raw(seq, bytes(num_bytes)) for seq in range(count)]
    for packet in packets:
        decoder.decode([packet])

    def refuse(packet):
        raise FakeUnsupportedError("Codec not supported on this GPU")

    gpu.nvc.created[0].Decode = refuse
    decoded = decoder.decode([raw(count, b"later")])

    assert len(opened) == 1
    assert 0 not in [seq for group in decoded.groups for seq in group.seqs]


def test_nothing_is_kept_after_the_first_picture(gpu, switching):
    decoder, _ = switching()
    packet = coded(0)
    before = sys.getrefcount(packet)
    decoder.decode([packet])

    assert sys.getrefcount(packet) == before


# ------------------------------------------------------------------ choice


def open_for(gpu, video):
    return gpu.decoders.open_gpu_decoder(
        video, gpu.pool, SimpleNamespace(), Settings(max_pixels=1 << 20), low_delay=True
    )


def test_nvdec_is_taken_where_it_can(gpu):
    decoder = open_for(gpu, VIDEO)

    assert "nvdec" in decoder.name
    assert [made.options["codec"] for made in gpu.nvc.created] == ["VP9"]


def test_a_picture_above_the_limit_is_refused(gpu):
    with pytest.raises(SegtritonError) as raised:
        open_for(gpu, replace(VIDEO, width=2048, height=1024))
    assert raised.value.code is ErrorCode.LIMIT_EXCEEDED
    assert gpu.nvc.created == []
