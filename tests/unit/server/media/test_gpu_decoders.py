"""Which decoder a GPU's session gets, and the change to the CPU where NVDEC turns out not to do."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from nvdec_on_numpy import REFUSED, VIDEO, FakeUnsupportedError, coded, raw, shape_of

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.media.decoder import Decoded, FrameGroup
from segtriton_server.settings import Settings

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


@pytest.mark.parametrize(("reorder_frames", "on_gpu"), [(2, False), (0, True), (None, True)])
def test_reordered_pictures_without_a_pts_are_left_to_the_cpu(gpu, reorder_frames, on_gpu):
    nvdec = gpu.open(replace(VIDEO, reorder_frames=reorder_frames))
    decoder = gpu.decoders.SwitchingDecoder(nvdec, FakeCpuDecoder)
    decoded = decoder.decode([replace(coded(0), pts=None), coded(1)])

    assert sorted(seq for seqs in shape_of(decoded) for seq in seqs) == [0, 1]
    assert ("nvdec" in decoder.name) is on_gpu


def test_a_later_packet_without_a_pts_stays_on_the_gpu(gpu):
    nvdec = gpu.open(replace(VIDEO, reorder_frames=2))
    decoder = gpu.decoders.SwitchingDecoder(nvdec, FakeCpuDecoder)
    decoder.decode([coded(0), replace(coded(1), pts=None)])

    assert "nvdec" in decoder.name


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
