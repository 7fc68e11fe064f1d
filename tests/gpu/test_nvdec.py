"""NVDEC's pictures are libavcodec's, and what it cannot decode comes from the CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from gpu_clips import damaged, make_clip, make_file
from gpu_pictures import Planes, download, least_psnr, psnr
from raw_client import Clip, read_file

from segtriton_server.device.pictures import DevicePictures
from segtriton_server.device.streams import StreamPool
from segtriton_server.media.decoder import Decoded, Decoder
from segtriton_server.media.gpu_decoders import open_gpu_decoder
from segtriton_server.media.libav_decoder import LibavDecoder
from segtriton_server.media.nvdec_pool import NvdecPool
from segtriton_server.settings import Settings

SETTINGS = Settings(accelerator="gpu", decoder_threads=2)
STREAMS = StreamPool()
GROUP = 8
SAME = 45.0  # dB
SCALED = 28.0  # by the chip and by OpenCV, each with a filter of its own
MIB = 1 << 20


@dataclass
class Decoding:
    """What came out of a decoder."""

    name: str = ""
    damaged: int = 0
    seqs: list[int] = field(default_factory=list)
    pictures: list[Planes] = field(default_factory=list)

    def by_seq(self) -> dict[int, Planes]:
        return dict(zip(self.seqs, self.pictures, strict=True))


@pytest.fixture(scope="module")
def pool(device: None) -> NvdecPool:
    return NvdecPool(SETTINGS.spare_decoders)


@contextmanager
def opened(clip: Clip, pool: NvdecPool) -> Iterator[Decoder]:
    decoder = open_gpu_decoder(clip.format, pool, STREAMS, SETTINGS, low_delay=False)
    try:
        yield decoder
    finally:
        decoder.close()


def decode_on_gpu(clip: Clip, pool: NvdecPool) -> Decoding:
    decoding = Decoding()

    def take(decoded: Decoded) -> None:
        decoding.damaged += decoded.damaged
        for group in decoded.groups:
            assert isinstance(group.pictures, DevicePictures)
            assert len(group.pictures) == len(group.seqs)
            decoding.seqs += group.seqs
            decoding.pictures += download(group.pictures)

    with opened(clip, pool) as decoder:
        for start in range(0, len(clip.packets), GROUP):
            take(decoder.decode(clip.packets[start : start + GROUP]))
        take(decoder.flush())
        decoding.name = decoder.name
    return decoding


def decode_on_cpu(clip: Clip) -> Decoding:
    decoding = Decoding()
    decoder = LibavDecoder(clip.format, 2, SETTINGS.max_pixels, low_delay=False)
    for decoded in (decoder.decode(clip.packets), decoder.flush()):
        decoding.damaged += decoded.damaged
        for group in decoded.groups:
            decoding.seqs += group.seqs
            decoding.pictures.append(tuple(plane.copy() for plane in group.pictures.planes))
    decoder.close()
    return decoding


def check_same(found: Decoding, expected: Decoding) -> None:
    assert found.seqs == expected.seqs
    assert found.damaged == expected.damaged == 0
    differences = [least_psnr(*pair) for pair in zip(found.pictures, expected.pictures, strict=True)]
    assert min(differences) > SAME, [round(difference, 1) for difference in differences]


def is_nvdec(name: str) -> bool:
    return "nvdec" in name.lower() and "libav" not in name.lower()


@pytest.mark.parametrize(
    "clip", ["h264", "h264_1080p", "h264_tiny", "hevc", "hevc_10bit", "vp9"], indirect=True, ids=str
)
def test_every_picture_is_that_of_libavcodec(clip: Clip, pool: NvdecPool) -> None:
    found = decode_on_gpu(clip, pool)

    assert is_nvdec(found.name), found.name
    assert sorted(found.seqs) == [packet.seq for packet in clip.packets]
    check_same(found, decode_on_cpu(clip))


def test_a_decoder_that_was_used_before_decodes_the_same(pool: NvdecPool) -> None:
    for name in ("h264_1080p", "h264_tiny", "h264", "hevc_10bit", "hevc", "h264"):
        clip = make_clip(name).head(12)
        found = decode_on_gpu(clip, pool)
        assert is_nvdec(found.name), found.name
        check_same(found, decode_on_cpu(clip))


def test_packets_framed_by_lengths_decode_the_same(pool: NvdecPool, tmp_path: Path) -> None:
    clip = read_file(make_file("h264", tmp_path))
    assert clip.format.extradata[:1] == b"\x01"

    found = decode_on_gpu(clip, pool)

    assert is_nvdec(found.name), found.name
    check_same(found, decode_on_cpu(clip))


def test_one_packet_at_a_time_gives_the_same(pool: NvdecPool) -> None:
    clip = make_clip("h264")
    seqs: list[int] = []
    with opened(clip, pool) as decoder:
        for packet in clip.packets:
            seqs += [seq for group in decoder.decode([packet]).groups for seq in group.seqs]
        seqs += [seq for group in decoder.flush().groups for seq in group.seqs]

    assert seqs == decode_on_cpu(clip).seqs


def test_a_stream_whose_size_changes_keeps_the_size_it_began_with(pool: NvdecPool) -> None:
    clip = make_clip("h264_size_change")
    found, expected = decode_on_gpu(clip, pool), decode_on_cpu(clip)

    assert found.seqs == expected.seqs
    assert [picture[0].shape for picture in found.pictures] == [(360, 640)] * 40
    for number, (ours, theirs) in enumerate(zip(found.pictures, expected.pictures, strict=True)):
        luma = cv2.resize(theirs[0], (640, 360), interpolation=cv2.INTER_LINEAR)
        assert psnr(ours[0], luma) > (SAME if number < 20 else SCALED), number


# ------------------------------------------------------------------ what NVDEC cannot


@pytest.mark.parametrize("clip", ["h264_444", "av1"], indirect=True, ids=str)
def test_what_nvdec_cannot_decode_comes_from_the_cpu_and_the_name_says_why(clip: Clip, pool: NvdecPool) -> None:
    found = decode_on_gpu(clip, pool)

    if not is_nvdec(found.name):  # newer GPUs decode more
        check_reason(found.name)
    check_same(found, decode_on_cpu(clip))


def test_odd_sizes_come_from_the_cpu_as_rgb(pool: NvdecPool) -> None:
    clip = make_clip("vp9_odd")
    found = decode_on_gpu(clip, pool)

    check_reason(found.name)
    assert found.seqs == decode_on_cpu(clip).seqs
    assert {picture[0].shape for picture in found.pictures} == {(95, 127, 3)}
    expected = [frame.to_ndarray(format="rgb24") for frame in decoded_frames(clip)]
    differences = [least_psnr(*pair) for pair in zip(found.pictures, [(rgb,) for rgb in expected], strict=True)]
    assert min(differences) > SAME, [round(difference, 1) for difference in differences]


def test_a_pixel_format_that_lies_costs_no_frame(pool: NvdecPool) -> None:
    honest = make_clip("h264_444")
    lying = Clip(replace(honest.format, pixel_format="yuv420p"), honest.packets)

    found = decode_on_gpu(lying, pool)

    check_same(found, decode_on_cpu(honest))


def check_reason(name: str) -> None:
    assert "libavcodec" in name
    reason = name.split("libavcodec", 1)[1].split(maxsplit=1)
    assert len(reason) > 1, f"{name!r} does not say why"


def decoded_frames(clip: Clip) -> list[av.VideoFrame]:
    context = av.CodecContext.create(clip.format.codec, "r")
    frames = [frame for packet in clip.packets for frame in context.decode(av.Packet(packet.payload))]
    return [*frames, *context.decode(None)]


# ------------------------------------------------------------------ damage


def other_bits(payload: bytes) -> bytes:
    """The head as it was, the rest upside down."""
    start = max(32, len(payload) // 4)
    return payload[:start] + bytes(byte ^ 0xFF for byte in payload[start:])


def noise(payload: bytes) -> bytes:
    return np.random.default_rng(0).integers(4, 256, len(payload), np.uint8).tobytes()


@pytest.mark.parametrize("damage", [other_bits, noise])
@pytest.mark.parametrize("framing", ["start codes", "lengths"])
def test_a_damaged_packet_costs_no_other_frame(
    damage: Callable[[bytes], bytes], framing: str, pool: NvdecPool, tmp_path: Path
) -> None:
    whole = make_clip("h264") if framing == "start codes" else read_file(make_file("h264", tmp_path))
    keyframes = [packet.seq for packet in whole.packets if packet.is_keyframe]
    assert keyframes == [0, 12, 24]
    # One that no other refers to: it is shown before the packet in front of it.
    victim = next(
        packet.seq
        for packet in whole.packets[14:24]
        if packet.pts < whole.packets[packet.seq - 1].pts  # type: ignore[operator]
    )

    found = decode_on_gpu(damaged(whole, victim, damage), pool)

    expected = decode_on_cpu(whole)
    assert [seq for seq in found.seqs if seq != victim] == [seq for seq in expected.seqs if seq != victim]
    pictures, originals = found.by_seq(), expected.by_seq()
    for seq in [*range(11), *range(25, 36)]:
        assert least_psnr(pictures[seq], originals[seq]) > SAME, seq


def test_a_stream_that_begins_in_the_middle_gives_its_later_half(pool: NvdecPool) -> None:
    whole = make_clip("h264")
    headless = Clip(whole.format, whole.packets[5:])

    found = decode_on_gpu(headless, pool)

    expected = decode_on_cpu(whole).by_seq()
    pictures = found.by_seq()
    assert {packet.seq for packet in whole.packets[12:]} <= pictures.keys()
    assert all(least_psnr(pictures[packet.seq], expected[packet.seq]) > SAME for packet in whole.packets[24:])


# ------------------------------------------------------------------ memory


def test_decoders_opened_and_closed_in_turn_keep_memory_flat(device: None) -> None:
    pool = NvdecPool(SETTINGS.spare_decoders)
    names = ("h264", "h264_1080p", "h264_tiny", "hevc")
    used: list[int] = []
    for number in range(20):
        clip = make_clip(names[number % len(names)])
        with opened(clip, pool) as decoder:
            decoder.decode(clip.packets[:GROUP])
            if number % 3:  # others end in the middle
                decoder.flush()
        torch.cuda.synchronize()
        free, total = torch.cuda.mem_get_info()
        used.append(total - free)

    assert max(used[4:]) - used[3] < 64 * MIB, [size // MIB for size in used]


def test_pictures_stay_as_they_are_while_the_decoder_goes_on(pool: NvdecPool) -> None:
    clip = make_clip("h264_1080p")
    with opened(clip, pool) as decoder:
        groups = []
        for start in range(0, len(clip.packets), GROUP):
            groups += decoder.decode(clip.packets[start : start + GROUP]).groups
        groups += decoder.flush().groups
        pictures = [picture for group in groups for picture in download(group.pictures)]

    expected = decode_on_cpu(clip).pictures
    assert min(least_psnr(*pair) for pair in zip(pictures, expected, strict=True)) > SAME
