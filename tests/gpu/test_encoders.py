"""Every rung of the GPU's ladder: what comes out shows what was drawn, in order."""

import zlib
from fractions import Fraction

import numpy as np
import pytest
import torch
from gpu_clips import TIME_BASE, source_planes, source_rgb
from gpu_pictures import Planes, psnr, upload
from raw_client import decode_payloads

from segtriton_protocol import ColorTags, ErrorCode, OutputSpec, SegtritonError
from segtriton_server.device.pictures import DeviceMasks, DevicePictures, record_event
from segtriton_server.encoders.encoder import EncodedFrame, Encoder, EncoderSetup, FrameTag
from segtriton_server.encoders.gpu.gpu_ladder import choose_gpu_encoder
from segtriton_server.encoders.gpu.nvenc_encoder import probe_nvenc
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels

FRAMES = 10
MASK_HW = 48, 64
GOOD = 30.0  # dB
SIZES = [(640, 360), (126, 94)]


def open_encoder(name: str, size_wh: tuple[int, int], kernels: PixelKernels) -> tuple[Encoder, str, torch.cuda.Stream]:
    setup = EncoderSetup(
        size_hw=size_wh[::-1],
        mask_hw=MASK_HW,
        time_base=TIME_BASE,
        frame_rate=1 / Fraction(TIME_BASE),
        color=ColorTags(),
        output=OutputSpec(encoder=name, crf=18, quality=95),
        num_threads=2,
        low_delay=False,
    )
    stream = torch.cuda.Stream()
    return *choose_gpu_encoder(setup, stream, kernels.planar_rgb), stream


def encode(encoder: Encoder, stream: torch.cuda.Stream, pictures: list[Planes], group_size: int) -> list[EncodedFrame]:
    """All pictures, each copied to the encoder's canvas as a compositor would draw it."""
    encoded: list[EncodedFrame] = []
    for start in range(0, len(pictures), group_size):
        group = upload(pictures[start : start + group_size])
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


def decoded_rgb(codec: str, encoded: list[EncodedFrame], extradata: bytes) -> list[np.ndarray]:
    frames = decode_payloads(codec, [frame.payload for frame in encoded], extradata)
    return [frame.to_ndarray(format="rgb24") for frame in frames]


def check_shown(found: list[np.ndarray], kernels: PixelKernels, pictures: list[Planes]) -> None:
    drawn = kernels.planar_rgb(upload(pictures)).permute(0, 2, 3, 1).cpu().numpy()
    differences = [psnr(*pair) for pair in zip(found, drawn, strict=True)]
    assert min(differences) > GOOD, [round(difference, 1) for difference in differences]


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
    check_shown(decoded_rgb("h264", encoded, extradata), kernels, pictures)


@pytest.mark.parametrize("group_size", [1, 5])
@pytest.mark.parametrize("size_wh", SIZES)
def test_nvjpeg_shows_what_was_drawn(size_wh: tuple[int, int], group_size: int, kernels: PixelKernels) -> None:
    encoder, reason, stream = open_encoder("mjpeg", size_wh, kernels)
    pictures = list(source_planes(size_wh, FRAMES))

    assert (encoder.name, encoder.codec) == ("nvjpeg", "mjpeg")
    assert reason
    encoded = encode(encoder, stream, pictures, group_size)

    check_tags(encoded)
    assert all(frame.is_keyframe and frame.payload.startswith(b"\xff\xd8") for frame in encoded)
    check_shown(decoded_rgb("mjpeg", encoded, b""), kernels, pictures)


def test_odd_sizes_go_to_nvjpeg_in_rgb(kernels: PixelKernels) -> None:
    encoder, reason, stream = open_encoder("auto", (127, 95), kernels)
    pictures: list[Planes] = [(rgb,) for rgb in source_rgb((127, 95), FRAMES)]

    assert encoder.name == "nvjpeg"
    assert "odd" in reason
    encoded = encode(encoder, stream, pictures, 5)

    check_tags(encoded)
    check_shown(decoded_rgb("mjpeg", encoded, b""), kernels, pictures)


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
