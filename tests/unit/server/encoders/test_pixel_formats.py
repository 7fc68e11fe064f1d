"""What the CPU's encoders are given is the input's own pixel format as far as they can code it, and comes out so."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange as AvColorRange

from segtriton_protocol import ColorTags, OutputSpec, SegtritonError, VideoFormat
from segtriton_server.encoders.encoder import Encoder, EncoderSetup, FrameTag
from segtriton_server.encoders.ladder import choose_encoder, choose_format
from segtriton_server.frames import ColorMatrix, Picture
from segtriton_server.media.libav_decoder import plane_views
from segtriton_server.media.pixel_formats import num_bits

FORMATS = ("yuv420p", "yuv422p", "yuv444p")
FORMATS_OF_10_BITS = tuple(name + "10le" for name in FORMATS)
MANY_PIXELS = 1 << 30
LEAST_PSNR = 40


def open_encoder(
    name: str, pixel_format: str, size_hw: tuple[int, int] = (48, 64), *, full_range: bool = False
) -> Encoder:
    setup = EncoderSetup(
        size_hw=size_hw,
        mask_hw=(12, 16),
        time_base=Fraction(1, 25),
        frame_rate=Fraction(25),
        color=ColorTags(full_range=full_range),
        output=OutputSpec(encoder=name, preset="ultrafast", crf=8, quality=100),
        num_threads=1,
        low_delay=True,
        pixel_format=pixel_format,
    )
    return choose_encoder(setup)[0]


def source(pixel_format: str, size_hw: tuple[int, int]) -> Picture:
    """Slopes in all planes, of which none is like another."""
    planes = []
    for number, plane in enumerate(plane_views(av.VideoFrame(*size_hw[::-1], pixel_format))):
        rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
        unit = 1 << num_bits(pixel_format) - 8
        slopes = 80 * unit * rows // plane.shape[0] + 30 * unit * columns // plane.shape[1]
        plane[...] = unit * (60 + 20 * number) + slopes
        planes.append(plane)
    return Picture(tuple(planes), ColorMatrix.BT601)


def code(encoder: Encoder, picture: Picture) -> av.VideoFrame:
    """The picture as it comes out of the encoder and a decoder."""
    canvas = encoder.canvas(picture)
    for target, plane in zip(canvas.pictures.planes, picture.planes, strict=True):
        target[...] = plane
    (coded,) = [*encoder.encode(canvas, [FrameTag(0, 0, 1)]), *encoder.flush()]
    decoder: VideoCodecContext = av.CodecContext.create(encoder.codec, "r")
    decoder.extradata = encoder.extradata or None
    (frame,) = [*decoder.decode(av.Packet(coded.payload)), *decoder.decode(None)]
    return frame


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(float) - second) ** 2)
    peak = 255 if first.dtype == np.uint8 else 1023
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


@pytest.mark.parametrize("pixel_format", FORMATS + FORMATS_OF_10_BITS)
@pytest.mark.parametrize("size_hw", [(48, 64), (36, 50)])
def test_x264_keeps_what_it_is_given(pixel_format: str, size_hw: tuple[int, int]) -> None:
    encoder, picture = open_encoder("h264", pixel_format, size_hw), source(pixel_format, size_hw)
    frame = code(encoder, picture)

    assert frame.format.name == encoder.pixel_format == pixel_format
    for plane, expected in zip(plane_views(frame), picture.planes, strict=True):
        assert psnr(plane, expected) > LEAST_PSNR


def test_the_range_stands_in_the_name_as_with_ffmpeg() -> None:
    encoder = open_encoder("h264", "yuv422p", full_range=True)
    frame = code(encoder, source("yuv422p", (48, 64)))

    assert frame.format.name == encoder.pixel_format == "yuvj422p"


@pytest.mark.parametrize("full_range", [False, True])
def test_10_bits_have_no_name_for_the_range(full_range: bool) -> None:
    encoder = open_encoder("h264", "yuv420p10le", full_range=full_range)
    frame = code(encoder, source("yuv420p10le", (48, 64)))

    assert frame.format.name == encoder.pixel_format == "yuv420p10le"
    assert (frame.color_range == AvColorRange.JPEG) is full_range


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("size_hw", [(48, 64), (35, 51)])
def test_mjpeg_keeps_the_chroma_in_its_own_range(pixel_format: str, size_hw: tuple[int, int]) -> None:
    encoder, picture = open_encoder("mjpeg", pixel_format, size_hw), source(pixel_format, size_hw)
    frame = code(encoder, picture)

    assert frame.format.name == encoder.pixel_format == pixel_format.replace("yuv", "yuvj")
    luma, *chroma = picture.planes
    full = [(luma.astype(float) - 16) * 255 / 219, *((plane.astype(float) - 128) * 255 / 224 + 128 for plane in chroma)]
    for plane, expected in zip(plane_views(frame), full, strict=True):
        assert psnr(plane, expected) > LEAST_PSNR


@pytest.mark.parametrize(
    ("pixel_format", "size_hw"),
    [("yuv444p", (35, 51)), ("yuv422p", (35, 52)), ("yuv444p", (36, 51)), ("yuv444p10le", (35, 51))],
)
def test_x264_codes_odd_sizes_where_chroma_is_not_halved(pixel_format: str, size_hw: tuple[int, int]) -> None:
    frame = code(open_encoder("auto", pixel_format, size_hw), source(pixel_format, size_hw))

    assert (frame.format.name, frame.height, frame.width) == (pixel_format, *size_hw)


@pytest.mark.parametrize(
    ("pixel_format", "size_hw"), [("yuv420p", (35, 52)), ("yuv420p", (36, 51)), ("yuv422p", (36, 51))]
)
def test_other_odd_sizes_are_for_mjpeg(pixel_format: str, size_hw: tuple[int, int]) -> None:
    assert open_encoder("auto", pixel_format, size_hw).codec == "mjpeg"
    with pytest.raises(SegtritonError, match=f"{size_hw[1]}x{size_hw[0]} in {pixel_format}"):
        open_encoder("h264", pixel_format, size_hw)


@pytest.mark.parametrize("encoder", ["auto", "h264", "mjpeg", "mask"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", "yuv420p"),
        ("no format", "yuv420p"),
        ("yuv420p", "yuv420p"),
        ("yuvj420p", "yuv420p"),
        ("gray", "yuv420p"),
        ("yuv410p", "yuv420p"),
        ("yuvj422p", "yuv422p"),
        ("yuv411p", "yuv422p"),
        ("yuv440p", "yuv444p"),
        ("yuv444p", "yuv444p"),
        ("gbrp", "yuv444p"),
    ],
)
def test_the_format_is_the_inputs_or_the_next_finer(given: str, kept: str, encoder: str) -> None:
    video = VideoFormat("h264", 64, 48, Fraction(1, 25), pixel_format=given)

    assert choose_format(video, OutputSpec(encoder=encoder), MANY_PIXELS) == kept
    assert choose_format(video, OutputSpec(encoder=encoder, pixel_format="yuv420p"), MANY_PIXELS) == "yuv420p"


@pytest.mark.parametrize("encoder", ["auto", "h264", "mjpeg", "mask"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("yuv420p10le", "yuv420p10le"),
        ("yuv422p10le", "yuv422p10le"),
        ("yuv444p10le", "yuv444p10le"),
        ("yuv420p9le", "yuv420p10le"),
        ("yuv422p12le", "yuv422p10le"),
        ("p010le", "yuv420p10le"),
        ("gray10le", "yuv420p10le"),
        ("gbrp12le", "yuv444p10le"),
    ],
)
def test_10_bits_are_for_x264_alone(given: str, kept: str, encoder: str) -> None:
    video = VideoFormat("hevc", 64, 48, Fraction(1, 25), pixel_format=given)
    wanted = kept if encoder in ("auto", "h264") else kept.removesuffix("10le")

    assert choose_format(video, OutputSpec(encoder=encoder), MANY_PIXELS) == wanted
    assert choose_format(video, OutputSpec(encoder=encoder, pixel_format="yuv420p"), MANY_PIXELS) == "yuv420p"


def test_10_bits_of_an_odd_size_are_8_where_mjpeg_codes_it() -> None:
    odd = VideoFormat("hevc", 63, 48, Fraction(1, 25), pixel_format="yuv420p10le")

    assert choose_format(odd, OutputSpec(), MANY_PIXELS) == "yuv420p"
    assert choose_format(replace(odd, pixel_format="yuv444p10le"), OutputSpec(), MANY_PIXELS) == "yuv444p10le"


def test_bits_are_given_up_before_the_sampling() -> None:
    video = VideoFormat("hevc", 66, 50, Fraction(1, 25), pixel_format="yuv444p10le")

    assert choose_format(video, OutputSpec(), 4 * 66 * 50) == "yuv444p10le"
    assert choose_format(video, OutputSpec(), 4 * 66 * 50 - 1) == "yuv444p"
    assert choose_format(video, OutputSpec(), 2 * 66 * 50 - 1) == "yuv420p"


@pytest.mark.parametrize(("given", "times"), [("yuv422p", 4 / 3), ("yuv444p", 2)])
def test_no_picture_has_more_bytes_than_the_largest_plain_one(given: str, times: float) -> None:
    video = VideoFormat("h264", 66, 50, Fraction(1, 25), pixel_format=given)
    pixels = round(66 * 50 * times)

    assert choose_format(video, OutputSpec(), pixels) == given
    assert choose_format(video, OutputSpec(), pixels - 1) == "yuv420p"
