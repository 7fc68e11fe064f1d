"""What is said of the formats that are kept is what FFmpeg says of them."""

import av
import pytest

from segtriton_server.media.pixel_formats import fits, nearest_formats, num_bytes

KEPT = [sampling + bits for sampling in ("yuv420p", "yuv422p", "yuv444p") for bits in ("", "10le")]
SIZES_HW = [(2, 2), (2, 3), (3, 2), (720, 1280)]


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_a_kept_format_has_the_bytes_and_the_chroma_that_ffmpeg_gives_it(name: str, size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    described, smallest = av.VideoFormat(name, width, height), av.VideoFormat(name, 2, 2)
    luma, chroma = described.components[:2]
    steps = 2 // smallest.components[1].width, 2 // smallest.components[1].height

    assert num_bytes(name, size_hw) == width * height * described.padded_bits_per_pixel // 8
    assert fits(name, size_hw) == ((chroma.width * steps[0], chroma.height * steps[1]) == (luma.width, luma.height))


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_format_is_its_own_nearest_and_then_8_bits(name: str) -> None:
    assert nearest_formats(name) == tuple(dict.fromkeys((name, name.removesuffix("10le"))))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("", ("yuv420p",)),
        ("no such format", ("yuv420p",)),
        ("10le", ("yuv420p",)),
        ("yuvj422p", ("yuv422p",)),
        ("gray", ("yuv420p",)),
        ("nv12", ("yuv420p",)),
        ("yuv411p", ("yuv422p",)),
        ("yuv440p", ("yuv444p",)),
        ("gbrp12le", ("yuv444p10le", "yuv444p")),
        ("p010le", ("yuv420p10le", "yuv420p")),
    ],
)
def test_another_format_keeps_the_sampling_and_the_bits_that_are_nearest(name: str, nearest: tuple[str, ...]) -> None:
    assert nearest_formats(name) == nearest
