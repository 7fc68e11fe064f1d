"""Which encoder a session gets, and why."""

from __future__ import annotations

from collections.abc import Callable

import av

from segtriton_protocol import (
    KEEP_PIXEL_FORMAT,
    PLAIN_PIXEL_FORMAT,
    ErrorCode,
    OutputSpec,
    SegtritonError,
    VideoFormat,
)
from segtriton_server.encoders.encoder import Encoder, EncoderSetup
from segtriton_server.encoders.libav_encoder import MjpegEncoder, X264Encoder
from segtriton_server.encoders.mask_encoder import MaskEncoder
from segtriton_server.media.pixel_formats import fits, nearest_formats, num_bits, num_bytes
from segtriton_server.media.room import check_room

_RUNGS: dict[str, Callable[[EncoderSetup], Encoder]] = {
    "h264": X264Encoder,
    "mjpeg": MjpegEncoder,
    "mask": MaskEncoder,
}
_MOST_BITS = {"h264": 10}

ASKED_FOR = "The client asked for it."
NO_ODD_SIZES = "H.264 has no odd picture sizes where chroma is halved."
_REASONS = {"h264": "It is the first encoder that works on this machine.", "mjpeg": NO_ODD_SIZES}


def odd_size_refusal(setup: EncoderSetup) -> SegtritonError:
    """What a client is told that asks for H.264 of an odd height or width in pixels."""
    height, width = setup.size_hw
    return SegtritonError(
        ErrorCode.UNKNOWN_ENCODER,
        f"h264 cannot code {width}x{height} in {setup.pixel_format}; encoders for it: auto, mjpeg, mask.",
    )


def choose_format(video: VideoFormat, output: OutputSpec, max_pixels: int) -> str:
    """What a session's pictures are between decoder and encoder.

    As much of the input's own format as the encoder codes, if the client wants it, in no more bytes than a picture of
    `max_pixels` in 8-bit 4:2:0; else that.
    """
    size_hw, most_bytes = (video.height, video.width), num_bytes(PLAIN_PIXEL_FORMAT, (1, max_pixels))
    wanted = nearest_formats(video.pixel_format) if output.pixel_format == KEEP_PIXEL_FORMAT else ()
    for kept in wanted:
        is_codable = num_bits(kept) <= _MOST_BITS.get(_choose_rung(output.encoder, kept, size_hw), 8)
        if is_codable and num_bytes(kept, size_hw) <= most_bytes:
            return kept
    return PLAIN_PIXEL_FORMAT


def choose_encoder(setup: EncoderSetup) -> tuple[Encoder, str]:
    """Open the encoder that the client asked for, or the first rung that works.

    Returns:
        The encoder and a sentence on why it was chosen.

    Raises:
        SegtritonError: UNKNOWN_ENCODER when the one asked for cannot code this picture.
        MemoryError: there is no room for its pictures.
    """
    asked = setup.output.encoder
    wanted = _choose_rung(asked, setup.pixel_format, setup.size_hw)
    if wanted == "h264" and not fits(setup.pixel_format, setup.size_hw):
        raise odd_size_refusal(setup)
    reason = ASKED_FOR if asked == wanted else _REASONS[wanted]
    try:
        return _RUNGS[wanted](setup), reason
    except av.FFmpegError:
        check_room(setup.size_hw, setup.pixel_format)
        raise SegtritonError(
            ErrorCode.UNKNOWN_ENCODER, f"{wanted} does not work here; encoders: {', '.join(_RUNGS)}."
        ) from None


def _choose_rung(asked: str, pixel_format: str, size_hw: tuple[int, int]) -> str:
    if asked != "auto":
        return asked
    return "h264" if fits(pixel_format, size_hw) else "mjpeg"
