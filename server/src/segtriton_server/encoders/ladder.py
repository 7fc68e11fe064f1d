"""Which encoder a session gets, and why."""

from __future__ import annotations

from collections.abc import Callable

import av

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.encoders.encoder import Encoder, EncoderSetup
from segtriton_server.encoders.libav_encoder import MjpegEncoder, X264Encoder
from segtriton_server.encoders.mask_encoder import MaskEncoder

_RUNGS: dict[str, Callable[[EncoderSetup], Encoder]] = {
    "h264": X264Encoder,
    "mjpeg": MjpegEncoder,
    "mask": MaskEncoder,
}


def choose_encoder(setup: EncoderSetup) -> tuple[Encoder, str]:
    """Open the encoder that the client asked for, or the first rung that works.

    Returns:
        The encoder and a sentence on why it was chosen.

    Raises:
        SegtritonError: UNKNOWN_ENCODER when the one asked for cannot code this picture.
    """
    wanted = setup.output.encoder
    is_odd = any(length % 2 for length in setup.size_hw)
    if wanted == "auto":
        if is_odd:
            return MjpegEncoder(setup), "H.264 in 4:2:0 has no odd picture sizes."
        return X264Encoder(setup), "It is the first encoder that works on this machine."
    if wanted == "h264" and is_odd:
        raise SegtritonError(
            ErrorCode.UNKNOWN_ENCODER,
            f"h264 cannot code {setup.size_hw[1]}x{setup.size_hw[0]} in 4:2:0; encoders for it: auto, mjpeg, mask.",
        )
    try:
        return _RUNGS[wanted](setup), "The client asked for it."
    except av.FFmpegError:
        raise SegtritonError(
            ErrorCode.UNKNOWN_ENCODER, f"{wanted} does not work here; encoders: {', '.join(_RUNGS)}."
        ) from None
