"""What a client wants back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segtriton_protocol.errors import ErrorCode, SegtritonError
from segtriton_protocol.json_fields import JsonFields
from segtriton_protocol.matte_spec import MatteSpec

EFFECTS = ("blur", "mask", "overlay", "color")
IMAGE_EFFECT = "image"
"""The effect that needs a background, which only OPEN brings."""
_ALL_EFFECTS = (*EFFECTS, IMAGE_EFFECT)

ENCODERS = ("auto", "h264", "mjpeg", "mask")
KEEP_PIXEL_FORMAT, PLAIN_PIXEL_FORMAT = PIXEL_FORMATS = ("keep", "yuv420p")
X264_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What the client wants back.

    `strength` is 0..1 (blur radius, or opacity of the overlay); `encoder` is a rung of the
    ladder or `auto`; `preset` and `crf` are x264's, `quality` (1..100) is MJPEG's. An empty
    `class_name` is the network's own default. `deinterlace` makes interlaced pictures whole.
    `pixel_format` keeps the input's, up to 10 bits, where the encoder can code it, or makes all plain 8-bit 4:2:0.
    `despill` takes the old background's colour out of soft edges, where another one is shown. `more_effects` are drawn
    from the same masks, each coded as `effect` is, and come in the same packets (see `frame_parts`).
    """

    effect: str = "blur"
    class_name: str = ""
    strength: float = 0.5
    color_rgb: tuple[int, int, int] = (0, 177, 64)
    encoder: str = "auto"
    preset: str = "superfast"
    crf: int = 23
    quality: int = 90
    deinterlace: bool = True
    pixel_format: str = KEEP_PIXEL_FORMAT
    matte: MatteSpec = field(default_factory=MatteSpec)
    despill: bool = True
    more_effects: tuple[str, ...] = ()

    @property
    def effects(self) -> tuple[str, ...]:
        """All of them."""
        return (self.effect, *self.more_effects)

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "effect": self.effect,
            "class_name": self.class_name,
            "strength": self.strength,
            "color_rgb": list(self.color_rgb),
            "encoder": self.encoder,
            "preset": self.preset,
            "crf": self.crf,
            "quality": self.quality,
            "deinterlace": self.deinterlace,
            "pixel_format": self.pixel_format,
            "matte": self.matte.to_json(),
            "despill": self.despill,
            "more_effects": list(self.more_effects),
        }

    @classmethod
    def from_json(cls, fields: JsonFields) -> OutputSpec:
        """Read the wire form; raises INVALID_MESSAGE or UNKNOWN_ENCODER."""
        default = cls()
        encoder = fields.text("encoder", default.encoder)
        if encoder not in ENCODERS:
            raise SegtritonError(
                ErrorCode.UNKNOWN_ENCODER,
                f"Encoder {encoder!r:.40} is not one of {', '.join(ENCODERS)}.",
            )
        color = fields.integers("color_rgb", 0, 255) or default.color_rgb
        if len(color) != 3:
            raise fields.refuse("color_rgb", "three integers from 0 to 255")
        effect = fields.choice("effect", _ALL_EFFECTS, default.effect)
        more_effects = fields.texts("more_effects")
        names = {effect, *more_effects}
        if len(names) <= len(more_effects) or not names <= set(_ALL_EFFECTS) or (more_effects and encoder == "mask"):
            raise fields.refuse("more_effects", "other effects, each once, and none beside bare masks")
        return cls(
            effect=effect,
            class_name=fields.text("class_name", ""),
            strength=fields.number("strength", 0.0, 1.0, default.strength),
            color_rgb=(color[0], color[1], color[2]),
            encoder=encoder,
            preset=fields.choice("preset", X264_PRESETS, default.preset),
            crf=fields.integer("crf", 0, 51, default.crf),
            quality=fields.integer("quality", 1, 100, default.quality),
            deinterlace=fields.boolean("deinterlace", default=False),
            # A client without the field was written for what every server made once.
            pixel_format=fields.choice("pixel_format", PIXEL_FORMATS, PLAIN_PIXEL_FORMAT),
            matte=MatteSpec.from_json(fields.inner("matte")) if "matte" in fields.wire else default.matte,
            despill=fields.boolean("despill", default=False),
            more_effects=more_effects,
        )
