"""Which encoder a session gets, and why."""

from __future__ import annotations

from collections.abc import Callable

import av

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.encoders.encoder import Encoder, EncoderSetup
from segtriton_server.encoders.libav_encoder import MjpegEncoder, X264Encoder
from segtriton_server.encoders.mask_encoder import MaskEncoder
from segtriton_server.media.room import check_room

_RUNGS: dict[str, Callable[[EncoderSetup], Encoder]] = {
    "h264": X264Encoder,
    "mjpeg": MjpegEncoder,
    "mask": MaskEncoder,
}

ASKED_FOR = "The client asked for it."
NO_ODD_SIZES = "H.264 in 4:2:0 has no odd picture sizes."


def odd_size_refusal(size_hw: tuple[int, int]) -> SegtritonError:
    """What a client is told that asks for H.264 of an odd height or width in pixels."""
    return SegtritonError(
        ErrorCode.UNKNOWN_ENCODER,
        f"h264 cannot code {size_hw[1]}x{size_hw[0]} in 4:2:0; encoders for it: auto, mjpeg, mask.",
    )


def choose_encoder(setup: EncoderSetup) -> tuple[Encoder, str]:
    """Open the encoder that the client asked for, or the first rung that works.

    Returns:
        The encoder and a sentence on why it was chosen.

    Raises:
        SegtritonError: UNKNOWN_ENCODER when the one asked for cannot code this picture.
        MemoryError: there is no room for its pictures.
    """
    wanted = setup.output.encoder
    is_odd = any(length % 2 for length in setup.size_hw)
    if wanted == "h264" and is_odd:
        raise odd_size_refusal(setup.size_hw)
    reason = ASKED_FOR
    if wanted == "auto":
        wanted, reason = (
            ("mjpeg", NO_ODD_SIZES) if is_odd else ("h264", "It is the first encoder that works on this machine.")
        )
    try:
        return _RUNGS[wanted](setup), reason
    except av.FFmpegError:
        check_room(setup.size_hw)
        raise SegtritonError(
            ErrorCode.UNKNOWN_ENCODER, f"{wanted} does not work here; encoders: {', '.join(_RUNGS)}."
        ) from None
