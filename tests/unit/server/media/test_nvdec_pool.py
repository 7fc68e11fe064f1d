"""NVDEC's decoders are used again, by one session at a time."""

import threading
import time

import pytest
from nvdec_on_numpy import BROKEN, REFUSED, FakeError, check_values, coded, raw, shape_of


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
