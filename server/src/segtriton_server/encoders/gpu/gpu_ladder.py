"""Which encoder a session on a GPU gets, and why."""

from __future__ import annotations

import av
import torch

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.encoders.encoder import Encoder, EncoderSetup
from segtriton_server.encoders.gpu.device_mask_encoder import DeviceMaskEncoder
from segtriton_server.encoders.gpu.device_x264 import DeviceX264Encoder
from segtriton_server.encoders.gpu.nvenc_encoder import NvencEncoder, NvencUnavailableError, probe_nvenc
from segtriton_server.encoders.gpu.nvjpeg import NvjpegError, NvjpegMemoryError
from segtriton_server.encoders.gpu.nvjpeg_encoder import NvjpegEncoder, ToJpegPlanes
from segtriton_server.encoders.ladder import ASKED_FOR, NO_ODD_SIZES, odd_size_refusal


def choose_gpu_encoder(
    setup: EncoderSetup, stream: torch.cuda.Stream, to_jpeg_planes: ToJpegPlanes
) -> tuple[Encoder, str]:
    """Open the encoder that the client asked for, or the first rung that works.

    Args:
        setup: the session's.
        stream: the stream that draws the session's pictures.
        to_jpeg_planes: see `NvjpegEncoder`.

    Returns:
        The encoder and a sentence on why it was chosen.

    Raises:
        SegtritonError: UNKNOWN_ENCODER when the one asked for, or the last rung, cannot code this picture.
    """
    wanted = setup.output.encoder
    is_odd = any(length % 2 for length in setup.size_hw)
    if wanted == "mask":
        return DeviceMaskEncoder(setup, stream), ASKED_FOR
    if wanted == "mjpeg":
        others = "mask" if is_odd else "auto, h264, mask"
        return _open_mjpeg(setup, stream, to_jpeg_planes, others), ASKED_FOR
    if is_odd and wanted == "auto":
        return _open_mjpeg(setup, stream, to_jpeg_planes, "mask"), NO_ODD_SIZES
    if is_odd:
        raise odd_size_refusal(setup)
    try:
        return _open_h264(setup, stream)
    except av.FFmpegError:
        if wanted == "auto":
            return _open_mjpeg(setup, stream, to_jpeg_planes, "mask"), "Neither NVENC nor x264 works on this machine."
        raise SegtritonError(ErrorCode.UNKNOWN_ENCODER, "h264 does not work here; encoders: mjpeg, mask.") from None


def _open_mjpeg(
    setup: EncoderSetup, stream: torch.cuda.Stream, to_jpeg_planes: ToJpegPlanes, others: str
) -> NvjpegEncoder:
    try:
        return NvjpegEncoder(setup, stream, to_jpeg_planes)
    except NvjpegMemoryError:  # it may work later
        raise
    except NvjpegError as error:
        message = f"mjpeg does not work here ({error}); encoders: {others}."
        raise SegtritonError(ErrorCode.UNKNOWN_ENCODER, message) from error


def _open_h264(setup: EncoderSetup, stream: torch.cuda.Stream) -> tuple[Encoder, str]:
    reason = probe_nvenc()
    if reason is None:
        try:
            return NvencEncoder(setup, stream), "This GPU encodes H.264 itself."
        except NvencUnavailableError as error:  # this size, or one session too many
            reason = str(error)
    return DeviceX264Encoder(setup, stream), f"NVENC does not work here ({reason}); x264 on the CPU is the next."
