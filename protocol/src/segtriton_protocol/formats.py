"""How a video is coded: what a decoder must know before the first packet."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any

from segtriton_protocol.hdr_metadata import HdrMetadata
from segtriton_protocol.json_fields import JsonFields, encode_bytes, encode_fraction
from segtriton_protocol.orientation import MATRIX_ENTRIES, Orientation

MAX_EXTRADATA_BYTES = 1 << 16
MAX_DIMENSION = 16384
MAX_FRAME_RATE = 1_000_000
_MATRIX_LIMIT = 1 << 31
MAX_REORDER_FRAMES = 16
_UNSPECIFIED = 2  # ITU-T H.273 code point


class Framing(Enum):
    """How the units of a packet are delimited."""

    ANNEX_B = "annexb"
    """H.264 and HEVC with start codes."""
    LENGTH_PREFIXED = "length_prefixed"
    """H.264 and HEVC with lengths (AVCC, HVCC); needs extradata."""
    OBU = "obu"
    """AV1 low-overhead bitstream."""
    RAW = "raw"
    """Whatever the codec's packets are in a container."""


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Colour description as ITU-T H.273 code points; 2 means unspecified."""

    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED
    matrix: int = _UNSPECIFIED
    full_range: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "primaries": self.primaries,
            "transfer": self.transfer,
            "matrix": self.matrix,
            "full_range": self.full_range,
        }

    @classmethod
    def from_json(cls, fields: JsonFields) -> ColorTags:
        """Read the wire form; raises INVALID_MESSAGE."""
        return cls(
            primaries=fields.integer("primaries", 0, 255, _UNSPECIFIED),
            transfer=fields.integer("transfer", 0, 255, _UNSPECIFIED),
            matrix=fields.integer("matrix", 0, 255, _UNSPECIFIED),
            full_range=fields.boolean("full_range", default=False),
        )


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """The input's coding.

    `codec` is FFmpeg's decoder name (`h264`, `hevc`, `vp9`, `av1`...), `width` and `height` are
    in pixels as the container says, `time_base` is the unit of pts, dts and duration in seconds,
    `display_matrix` says how the pictures are turned to be seen, nine integers in FFmpeg's layout, or none; what knows
    of no matrix gives `rotation`, in degrees clockwise. `frame_rate` is a hint that no timestamp depends on.
    `pixel_format` is a hint too: FFmpeg's name (`yuv420p10le`...), empty if unknown. `reorder_frames` is how many
    frames a decoder holds back to put them in display order (FFmpeg's `has_b_frames`), None if unknown.
    """

    codec: str
    width: int
    height: int
    time_base: Fraction
    framing: Framing = Framing.RAW
    extradata: bytes = b""
    frame_rate: Fraction | None = None
    sample_aspect: Fraction | None = None
    rotation: int = 0
    color: ColorTags = field(default_factory=ColorTags)
    pixel_format: str = ""
    display_matrix: tuple[int, ...] = ()
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    reorder_frames: int | None = None

    @property
    def orientation(self) -> Orientation:
        """How the pictures are turned to be seen, to the nearest right angle."""
        if self.display_matrix:
            return Orientation.from_matrix(self.display_matrix)
        return Orientation.from_rotation(self.rotation)

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "time_base": encode_fraction(self.time_base),
            "framing": self.framing.value,
            "extradata": encode_bytes(self.extradata),
            "frame_rate": encode_fraction(self.frame_rate),
            "sample_aspect": encode_fraction(self.sample_aspect),
            "rotation": self.rotation,
            "color": self.color.to_json(),
            "pixel_format": self.pixel_format,
            "display_matrix": list(self.display_matrix),
            "hdr": self.hdr.to_json(),
            "reorder_frames": self.reorder_frames,
        }

    @classmethod
    def from_json(cls, fields: JsonFields) -> VideoFormat:
        """Read the wire form; raises INVALID_MESSAGE."""
        time_base = fields.fraction("time_base")
        if time_base is None:
            raise fields.refuse("time_base", "a pair of positive integers")
        display_matrix = fields.integers("display_matrix", -_MATRIX_LIMIT, _MATRIX_LIMIT - 1)
        if len(display_matrix) not in (0, MATRIX_ENTRIES):
            raise fields.refuse("display_matrix", "a list of nine integers, or none")
        return cls(
            codec=fields.text("codec", max_length=32),
            width=fields.integer("width", 1, MAX_DIMENSION),
            height=fields.integer("height", 1, MAX_DIMENSION),
            time_base=time_base,
            framing=Framing(fields.choice("framing", (framing.value for framing in Framing))),
            extradata=fields.binary("extradata", MAX_EXTRADATA_BYTES),
            frame_rate=fields.fraction("frame_rate", MAX_FRAME_RATE),
            sample_aspect=fields.fraction("sample_aspect"),
            rotation=fields.integer("rotation", -360, 360, 0),
            color=ColorTags.from_json(fields.inner("color")),
            pixel_format=fields.text("pixel_format", "", max_length=32),
            display_matrix=display_matrix,
            hdr=HdrMetadata.from_json(fields.inner("hdr")) if "hdr" in fields.wire else HdrMetadata(),
            reorder_frames=fields.optional_integer("reorder_frames", 0, MAX_REORDER_FRAMES),
        )
