"""What this GPU's video decoder takes."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import av

from segtriton_protocol import VideoFormat

_LOG = logging.getLogger(__name__)

# FFmpeg's names and those of cudaVideoCodec. MPEG-4 and JPEG are left to the CPU: NVDEC takes few of their profiles.
NVDEC_CODECS = {"h264": "H264", "hevc": "HEVC", "vp8": "VP8", "vp9": "VP9", "av1": "AV1", "mpeg2video": "MPEG2"}
_CHROMA_420 = 1  # cudaVideoChromaFormat
_DEFAULT_PIXEL_FORMAT = "yuv420p"


def refusal(video: VideoFormat, nvc: Any) -> str | None:
    """Why NVDEC cannot decode a stream, as a short phrase; None if it can, as far as the client knows its stream.

    Args:
        video: the stream.
        nvc: the module PyNvVideoCodec.
    """
    if video.codec not in NVDEC_CODECS:
        return f"NVDEC does not decode {video.codec}"
    if video.width % 2 or video.height % 2:
        return "NVDEC takes no odd sizes"
    bit_depth = _bit_depth_of_420(video.pixel_format or _DEFAULT_PIXEL_FORMAT)
    if bit_depth is None:
        return f"NVDEC does not decode {video.codec} {video.pixel_format}"
    caps = _decoder_caps(nvc, NVDEC_CODECS[video.codec], bit_depth)
    if not caps.get("num_decoder_engines", 0):
        return f"this GPU's NVDEC does not decode {video.codec} with {bit_depth} bits"
    return _size_refusal(video, caps)


def _size_refusal(video: VideoFormat, caps: dict[str, int]) -> str | None:
    fits = (
        caps.get("width_min", 0) <= video.width <= caps.get("width_max", video.width)
        and caps.get("height_min", 0) <= video.height <= caps.get("height_max", video.height)
        and (video.width // 16) * (video.height // 16) <= caps.get("mb_num_max", 1 << 31)
    )
    return None if fits else f"this GPU's NVDEC does not take {video.width}x{video.height} in {video.codec}"


def _bit_depth_of_420(pixel_format: str) -> int | None:
    """Bits of a component of a 4:2:0 format, None for any other."""
    try:
        described = av.VideoFormat(pixel_format)
    except ValueError:
        return None
    if described.is_rgb or len(described.components) != 3:
        return None
    is_420 = (described.chroma_width(16), described.chroma_height(16)) == (8, 8)
    return described.components[0].bits if is_420 else None


@cache
def _decoder_caps(nvc: Any, codec: str, bit_depth: int) -> dict[str, int]:
    try:
        caps = nvc.GetDecoderCaps(
            gpuid=0,
            codec=getattr(nvc.cudaVideoCodec, codec),
            chromaformat=nvc.cudaVideoChromaFormat(_CHROMA_420),
            bitdepth=bit_depth,
        )
    except Exception:  # noqa: BLE001 - whatever it is, the CPU decodes
        _LOG.debug("NVDEC's capabilities for %s with %d bits cannot be had", codec, bit_depth, exc_info=True)
        return {}
    _LOG.info("NVDEC, %s with %d bits: %s", codec, bit_depth, caps)
    return dict(caps)
