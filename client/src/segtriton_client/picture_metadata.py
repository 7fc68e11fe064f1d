"""What a decoded picture says beside its samples (FFmpeg's side data): HDR metadata, captions."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.sidedata.sidedata import Type

from segtriton_client.side_data import side_data_of
from segtriton_protocol import HdrMetadata
from segtriton_protocol.hdr_metadata import MAX_16_BITS, MAX_LUMINANCE

# AVMasteringDisplayMetadata: x and y of red, green, blue, white, least and greatest luminance as rationals, two flags.
_MASTERING_DISPLAY = struct.Struct("=22i")
_CONTENT_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata
_CHROMATICITY_UNITS, _LUMINANCE_UNITS = 50_000, 10_000
_LOST = {
    Type.DYNAMIC_HDR_PLUS: "HDR10+ (brightness scene by scene)",
    Type.DYNAMIC_HDR_VIVID: "HDR Vivid (brightness scene by scene)",
    Type.AMBIENT_VIEWING_ENVIRONMENT: "ambient viewing environment (HLG)",
    Type.SPHERICAL: "projection (of a 360-degree video)",
    Type.AFD: "active format description",
}
_DOLBY_VISION = (Type.DOVI_RPU_BUFFER, Type.DOVI_METADATA)


@dataclass(frozen=True, slots=True)
class PictureMetadata:
    """What is kept or lost with a picture; `notes` name what no encoder here writes, each one sentence."""

    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    has_captions: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, frame: av.VideoFrame, codec: str) -> PictureMetadata:
        """Read a decoded picture; `codec` is FFmpeg's name of its decoder."""
        side_data = side_data_of(frame, codec)
        return cls(_read_hdr(side_data), Type.A53_CC in side_data, tuple(_note_losses(side_data)))

    def lost_in(self, made: PictureMetadata, output: object) -> list[str]:
        """Return what an output lacks of this, each one sentence."""
        notes = []
        if self.hdr != made.hdr:
            notes.append(f"{output} lacks HDR10's mastering display and light levels: H.264 by x264 alone keeps them.")
        if self.has_captions and not made.has_captions:
            notes.append(
                f"{output} lacks the input's closed captions (CEA-608/708); "
                "`ffmpeg -f lavfi -i 'movie=INPUT[out+subcc]' -map 0:s captions.srt` extracts them."
            )
        return notes


def read_metadata(payload: bytes, codec: str, extradata: bytes) -> PictureMetadata:
    """Read the first picture of coded video, nothing where it does not decode by itself."""
    decoder: Any = av.CodecContext.create(codec, "r")
    decoder.extradata = extradata or None
    try:
        frames: list[Any] = [*decoder.decode(av.Packet(payload)), *decoder.decode(None)]
    except av.error.FFmpegError:
        frames = []
    return PictureMetadata.of(frames[0], codec) if frames else PictureMetadata()


def _read_hdr(side_data: Mapping[Any, Any]) -> HdrMetadata:
    display, light = side_data.get(Type.MASTERING_DISPLAY_METADATA), side_data.get(Type.CONTENT_LIGHT_LEVEL)
    return HdrMetadata(
        _read_display(bytes(display)) if display else (),
        tuple(min(level, MAX_16_BITS) for level in _CONTENT_LIGHT.unpack_from(bytes(light))) if light else (),
    )


def _read_display(content: bytes) -> tuple[int, ...]:
    """Return what `HdrMetadata.mastering_display` holds, nothing where a part of it is not known."""
    *rationals, has_primaries, has_luminance = _MASTERING_DISPLAY.unpack_from(content)
    if not (has_primaries and has_luminance) or 0 in rationals[1::2]:
        return ()
    *coordinates, least, most = (Fraction(*pair) for pair in zip(rationals[::2], rationals[1::2], strict=True))
    points = (round(value * _CHROMATICITY_UNITS) for value in coordinates)
    luminances = (round(value * _LUMINANCE_UNITS) for value in (most, least))
    return (
        *(min(max(value, 0), MAX_16_BITS) for value in points),
        *(min(max(value, 0), MAX_LUMINANCE) for value in luminances),
    )


def _note_losses(side_data: Mapping[Any, Any]) -> list[str]:
    notes = [f"The input's {name} was lost." for kind, name in _LOST.items() if kind in side_data]
    if any(kind in side_data for kind in _DOLBY_VISION):
        notes.append(_note_dolby_vision(side_data.get(Type.DOVI_RPU_BUFFER)))
    return notes


def _note_dolby_vision(rpu: Any) -> str:
    if rpu is not None and _has_own_colors(bytes(rpu)):
        return (
            "The input is Dolby Vision of profile 5, whose colours need the metadata that was lost: "
            "the result's colours are wrong. Convert it to HDR10 or SDR first."
        )
    return "The input's Dolby Vision metadata was lost; the base layer that players without it show came back."


def _has_own_colors(rpu: bytes) -> bool:
    """Whether an RPU is of vdr_rpu_profile 0 (profile 5): behind 8 bits of prefix, 6 of type and 11 of format."""
    return len(rpu) > 4 and int.from_bytes(rpu[1:5], "big") >> 11 & 0xF == 0
