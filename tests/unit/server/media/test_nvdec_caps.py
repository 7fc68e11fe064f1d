"""Which streams NVDEC gets, by what its driver says and what the client knows."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest

from segtriton_protocol import VideoFormat
from segtriton_server.media.nvdec_caps import refusal

CAPS = {
    "num_decoder_engines": 7,
    "width_min": 48,
    "width_max": 4096,
    "height_min": 16,
    "height_max": 4096,
    "mb_num_max": 65536,
}
VIDEO = VideoFormat("h264", 1920, 1080, Fraction(1, 25), pixel_format="yuv420p")


class FakeLibrary:
    """`caps` by (codec, chroma, bits), or what asking for them raises."""

    cudaVideoCodec = SimpleNamespace(H264="H264", HEVC="HEVC", VP8="VP8", VP9="VP9", AV1="AV1", MPEG2="MPEG2")  # noqa: N815

    def __init__(self, caps=CAPS, only_bits=None):
        self.asked = []
        self._caps, self._only_bits = caps, only_bits

    @staticmethod
    def cudaVideoChromaFormat(number):  # noqa: N802
        return f"chroma {number}"

    def GetDecoderCaps(self, gpuid, codec, chromaformat, bitdepth):  # noqa: N802
        self.asked.append((gpuid, codec, chromaformat, bitdepth))
        if isinstance(self._caps, Exception):
            raise self._caps
        if self._only_bits not in (None, bitdepth):
            return {"num_decoder_engines": 0}
        return self._caps


@pytest.mark.parametrize(
    ("codec", "name"),
    [("h264", "H264"), ("hevc", "HEVC"), ("vp8", "VP8"), ("vp9", "VP9"), ("av1", "AV1"), ("mpeg2video", "MPEG2")],
)
def test_what_the_driver_takes_is_not_refused(codec: str, name: str) -> None:
    library = FakeLibrary()

    assert refusal(replace(VIDEO, codec=codec), library) is None
    assert library.asked == [(0, name, "chroma 1", 8)]


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "prores"])
def test_other_codecs_are_refused_without_asking(codec: str) -> None:
    library = FakeLibrary()

    assert codec in (refusal(replace(VIDEO, codec=codec), library) or "")
    assert library.asked == []


@pytest.mark.parametrize("size", [(1919, 1080), (1920, 1079), (127, 95)])
def test_odd_sizes_are_refused(size: tuple[int, int]) -> None:
    assert refusal(replace(VIDEO, width=size[0], height=size[1]), FakeLibrary()) == "NVDEC takes no odd sizes"


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv422p10le", "yuv410p", "yuv440p", "gbrp", "gray", "yuva420p"])
def test_what_does_not_come_out_as_nv12_is_refused(pixel_format: str) -> None:
    reason = refusal(replace(VIDEO, pixel_format=pixel_format), FakeLibrary())

    assert reason == f"NVDEC does not decode h264 {pixel_format}"


@pytest.mark.parametrize(
    ("pixel_format", "bits"), [("", 8), ("yuv420p", 8), ("yuvj420p", 8), ("yuv420p10le", 10), ("yuv420p12le", 12)]
)
def test_the_driver_is_asked_for_the_bits_of_the_stream(pixel_format: str, bits: int) -> None:
    library = FakeLibrary(only_bits=bits)

    assert refusal(replace(VIDEO, pixel_format=pixel_format), library) is None
    assert [asked[3] for asked in library.asked] == [bits]


def test_bits_that_the_driver_does_not_take_are_refused() -> None:
    reason = refusal(replace(VIDEO, pixel_format="yuv420p10le"), FakeLibrary(only_bits=8))

    assert reason is not None
    assert "h264" in reason
    assert "10 bits" in reason


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        ((4096, 4096), True),
        ((48, 16), True),
        ((4098, 1080), False),
        ((1920, 4098), False),
        ((46, 64), False),
        ((64, 14), False),
    ],
)
def test_sizes_are_held_against_the_drivers_limits(size: tuple[int, int], fits: bool) -> None:
    reason = refusal(replace(VIDEO, width=size[0], height=size[1]), FakeLibrary())

    assert (reason is None) == fits
    assert fits or f"{size[0]}x{size[1]}" in (reason or "")


def test_macroblocks_are_counted() -> None:
    library = FakeLibrary({**CAPS, "mb_num_max": 8160})

    assert refusal(VIDEO, library) is None
    assert refusal(replace(VIDEO, width=2048, height=1088), library) is not None


def test_limits_that_the_driver_does_not_name_do_not_matter() -> None:
    assert refusal(VIDEO, FakeLibrary({"num_decoder_engines": 1})) is None


@pytest.mark.parametrize("caps", [{}, {"num_decoder_engines": 0}, RuntimeError("no such device")])
def test_no_answer_and_no_engine_mean_the_cpu(caps: object) -> None:
    assert "h264" in (refusal(VIDEO, FakeLibrary(caps)) or "")


def test_the_driver_is_asked_once() -> None:
    library = FakeLibrary()
    for width in (640, 1280, 1920):
        refusal(replace(VIDEO, width=width), library)

    assert len(library.asked) == 1
