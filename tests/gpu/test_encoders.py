"""Every rung of the GPU's ladder: what comes out shows what was drawn, in order."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from gpu_clips import TIME_BASE, frame_planes, source_planes, source_rgb
from gpu_pictures import Planes, psnr, upload
from raw_client import decode_payloads

from segtriton_protocol import ColorTags, ErrorCode, OutputSpec, SegtritonError
from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.encoders.encoder import EncodedFrame, Encoder, EncoderSetup, FrameTag
from segtriton_server.encoders.gpu.gpu_ladder import choose_gpu_encoder
from segtriton_server.encoders.gpu.nvenc_encoder import probe_nvenc
from segtriton_server.frames import ColorMatrix, ColorRange
from segtriton_server.vision.color import yuv_to_rgb_affine
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels

FRAMES = 10
MASK_HW = 48, 64
GOOD = 30.0  # dB
CAST = 2.0  # of 255, in any colour's mean
SIZES = [(640, 360), (126, 94)]

Color = tuple[ColorMatrix, ColorRange]
USUAL: Color = ColorMatrix.BT601, ColorRange.LIMITED
JFIF: Color = ColorMatrix.BT601, ColorRange.FULL


def open_encoder(
    name: str, size_wh: tuple[int, int], kernels: PixelKernels, quality: int = 95
) -> tuple[Encoder, str, torch.cuda.Stream]:
    setup = EncoderSetup(
        size_hw=size_wh[::-1],
        mask_hw=MASK_HW,
        time_base=TIME_BASE,
        frame_rate=1 / Fraction(TIME_BASE),
        color=ColorTags(),
        output=OutputSpec(encoder=name, crf=18, quality=quality),
        num_threads=2,
        low_delay=False,
    )
    stream = torch.cuda.Stream()
    return *choose_gpu_encoder(setup, stream, kernels.jpeg_planes), stream


def encode(
    encoder: Encoder, stream: torch.cuda.Stream, pictures: list[Planes], group_size: int, color: Color = USUAL
) -> list[EncodedFrame]:
    """All pictures, each copied to the encoder's canvas as a compositor would draw it."""
    encoded: list[EncodedFrame] = []
    for start in range(0, len(pictures), group_size):
        group = upload(pictures[start : start + group_size], *color)
        canvas = encoder.canvas(group)
        drawn: DevicePictures = canvas.pictures
        assert drawn.size_hw == group.size_hw
        with torch.cuda.stream(stream):
            group.wait(stream)
            for source, target in zip(group.planes, drawn.planes, strict=True):
                target.copy_(source)
        encoded += encoder.encode(canvas, tags_of(start, len(group)))
    encoded += encoder.flush()
    torch.cuda.synchronize()
    encoder.close()
    return encoded


def tags_of(start: int, count: int) -> list[FrameTag]:
    # Timestamps may be absent and need not rise.
    return [FrameTag(seq, None if seq == 3 else 100 - seq, 1) for seq in range(start, start + count)]


def check_tags(encoded: list[EncodedFrame]) -> None:
    assert [frame.tag for frame in encoded] == tags_of(0, FRAMES)
    assert encoded[0].is_keyframe


def decode(codec: str, encoded: list[EncodedFrame], extradata: bytes = b"") -> list[av.VideoFrame]:
    return decode_payloads(codec, [frame.payload for frame in encoded], extradata)


def rgb_of(planes: Planes, color: Color) -> np.ndarray:
    """RGB float64 [h, w, 3] of planes (Y, U, V) whose colours are those of `color`; chroma is repeated."""
    height, width = planes[0].shape
    chroma = [plane.repeat(2, axis=0).repeat(2, axis=1)[:height, :width] for plane in planes[1:]]
    affine = yuv_to_rgb_affine(*color)
    return np.clip(np.stack([planes[0], *chroma], axis=2) @ affine[:, :3].T + affine[:, 3], 0.0, 255.0)


def check_same(found: list[np.ndarray], drawn: list[np.ndarray]) -> None:
    """Pictures RGB [h, w, 3]: alike everywhere, and none with a cast."""
    differences = [psnr(*pair) for pair in zip(found, drawn, strict=True)]
    assert min(differences) > GOOD, [round(difference, 1) for difference in differences]
    casts = [
        np.abs((one - other.astype(np.float64)).mean((0, 1))).max() for one, other in zip(found, drawn, strict=True)
    ]
    assert max(casts) < CAST, [round(cast, 2) for cast in casts]


def check_jpegs(encoded: list[EncodedFrame], drawn: list[np.ndarray]) -> None:
    """JPEGs in 4:2:0 that show pictures RGB [h, w, 3]."""
    check_tags(encoded)
    assert all(frame.is_keyframe and frame.payload.startswith(b"\xff\xd8") for frame in encoded)
    frames = decode("mjpeg", encoded)
    assert {frame.format.name for frame in frames} == {"yuvj420p"}
    check_same([rgb_of(frame_planes(frame), JFIF) for frame in frames], drawn)


@pytest.mark.parametrize("group_size", [1, 5])
@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize("name", ["auto", "h264"])
def test_h264_shows_what_was_drawn(name: str, size_wh: tuple[int, int], group_size: int, kernels: PixelKernels) -> None:
    encoder, reason, stream = open_encoder(name, size_wh, kernels)
    pictures = list(source_planes(size_wh, FRAMES))
    nvenc_trouble = probe_nvenc()

    assert encoder.codec == "h264"
    if nvenc_trouble:
        assert encoder.name == "libx264"
        assert nvenc_trouble in reason
    extradata = encoder.extradata
    encoded = encode(encoder, stream, pictures, group_size)

    check_tags(encoded)
    assert all(frame.payload.startswith((b"\0\0\1", b"\0\0\0\1")) for frame in encoded)
    found = [rgb_of(frame_planes(frame), USUAL) for frame in decode("h264", encoded, extradata)]
    check_same(found, [rgb_of(planes, USUAL) for planes in pictures])


@pytest.mark.parametrize("group_size", [1, 5, 10])
@pytest.mark.parametrize("size_wh", [*SIZES, (1920, 1080)])
@pytest.mark.parametrize("color", [(ColorMatrix.BT709, ColorRange.LIMITED), JFIF])
def test_nvjpeg_shows_what_was_drawn(
    color: Color, size_wh: tuple[int, int], group_size: int, kernels: PixelKernels
) -> None:
    encoder, reason, stream = open_encoder("mjpeg", size_wh, kernels)
    pictures = list(source_planes(size_wh, FRAMES))

    assert (encoder.name, encoder.codec) == ("nvjpeg", "mjpeg")
    assert reason
    encoded = encode(encoder, stream, pictures, group_size, color)

    check_jpegs(encoded, [rgb_of(planes, color) for planes in pictures])


def test_nvjpeg_heeds_the_quality(kernels: PixelKernels) -> None:
    pictures = list(source_planes((640, 360), FRAMES))
    sizes = []
    for quality in (30, 60, 95):
        encoder, _, stream = open_encoder("mjpeg", (640, 360), kernels, quality)
        sizes.append(sum(len(frame.payload) for frame in encode(encoder, stream, pictures, 5)))

    assert 1.2 * sizes[0] < sizes[1] < sizes[2] / 1.2, sizes


def test_nvjpeg_sessions_on_threads_of_their_own_do_not_mix(kernels: PixelKernels) -> None:
    def run(size_wh: tuple[int, int]) -> None:
        pictures = list(source_planes(size_wh, FRAMES))
        for _ in range(3):
            encoder, _, stream = open_encoder("mjpeg", size_wh, kernels)
            check_jpegs(encode(encoder, stream, pictures, 5), [rgb_of(planes, USUAL) for planes in pictures])

    with ThreadPoolExecutor() as threads:
        list(threads.map(run, [*SIZES, (322, 182), (176, 144)]))


@pytest.mark.parametrize("size_wh", [(127, 95), (641, 360), (640, 361)])
def test_odd_sizes_go_to_nvjpeg_in_rgb(size_wh: tuple[int, int], kernels: PixelKernels) -> None:
    encoder, reason, stream = open_encoder("auto", size_wh, kernels)
    pictures: list[Planes] = [(rgb,) for rgb in source_rgb(size_wh, FRAMES)]

    assert encoder.name == "nvjpeg"
    assert "odd" in reason
    encoded = encode(encoder, stream, pictures, 5)

    check_jpegs(encoded, [rgb for (rgb,) in pictures])


def test_h264_of_an_odd_size_is_refused(kernels: PixelKernels) -> None:
    with pytest.raises(SegtritonError) as caught:
        open_encoder("h264", (127, 95), kernels)

    assert caught.value.code is ErrorCode.UNKNOWN_ENCODER


@pytest.mark.parametrize("group_size", [1, 5])
def test_masks_come_out_bit_for_bit(group_size: int, kernels: PixelKernels) -> None:
    encoder, _, stream = open_encoder("mask", (640, 360), kernels)
    masks = np.random.default_rng(1).integers(0, 256, (FRAMES, *MASK_HW), np.uint8)

    assert encoder.takes_mask
    assert encoder.size_hw == MASK_HW
    encoded: list[EncodedFrame] = []
    for start in range(0, FRAMES, group_size):
        tensor = torch.from_numpy(masks[start : start + group_size]).cuda()
        encoded += encoder.encode_masks(DeviceMasks(tensor, record_event()), tags_of(start, group_size))
    encoded += encoder.flush()
    stream.synchronize()
    encoder.close()

    check_tags(encoded)
    assert [zlib.decompress(frame.payload) for frame in encoded] == [mask.tobytes() for mask in masks]
