"""NVDEC's pictures, in groups, without a GPU."""

import ctypes
from dataclasses import replace

import numpy as np
from nvdec_on_numpy import BROKEN, VIDEO, check_values, coded, raw, shape_of

from segtriton_protocol import ColorTags, Framing
from segtriton_server.frames import ColorMatrix, ColorRange
from segtriton_server.media.decoder import Decoded


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
