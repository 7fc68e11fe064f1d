"""HDR10's static metadata: on which display a video was mastered, and how bright it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segtriton_protocol.json_fields import JsonFields

MAX_16_BITS = (1 << 16) - 1
MAX_LUMINANCE = (1 << 31) - 1
_DISPLAY_LENGTH, _NUM_COORDINATES = 10, 8


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """SMPTE ST 2086 and CTA-861.3, in the integers that H.264 and HEVC code; empty where unknown.

    `mastering_display` is x and y of red, green, blue and white in 1/50000 (CIE 1931), the greatest and the least
    luminance in 1/10000 cd/m2. `content_light` is the greatest light level of a sample, and of a picture's average, in
    cd/m2 (MaxCLL, MaxFALL).
    """

    mastering_display: tuple[int, ...] = ()
    content_light: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is known."""
        return bool(self.mastering_display or self.content_light)

    def x264_params(self) -> str:
        """Return what makes x264 write it, in FFmpeg's form of x264's parameters; empty where nothing is known."""
        params = []
        if self.mastering_display:
            red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, most, least = self.mastering_display
            params.append(
                f"mastering-display=G({green_x},{green_y})B({blue_x},{blue_y})R({red_x},{red_y})"
                f"WP({white_x},{white_y})L({most},{least})"
            )
        if self.content_light:
            params.append("cll={},{}".format(*self.content_light))
        return ":".join(params)

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {"mastering_display": list(self.mastering_display), "content_light": list(self.content_light)}

    @classmethod
    def from_json(cls, fields: JsonFields) -> HdrMetadata:
        """Read the wire form; raises INVALID_MESSAGE."""
        display = fields.integers("mastering_display", 0, MAX_LUMINANCE)
        if len(display) not in (0, _DISPLAY_LENGTH) or max(display[:_NUM_COORDINATES], default=0) > MAX_16_BITS:
            raise fields.refuse("mastering_display", "eight integers up to 65535 and two luminances")
        light = fields.integers("content_light", 0, MAX_16_BITS)
        if len(light) not in (0, 2):
            raise fields.refuse("content_light", "two integers")
        return cls(display, light)
