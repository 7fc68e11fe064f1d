"""What can be drawn with a mask, as data."""

from dataclasses import dataclass
from typing import Literal, get_args

from segtriton_protocol import OutputSpec
from segtriton_protocol.look import BLUR_SIGMA_AT_FULL_STRENGTH
from segtriton_server.vision.errors import InvalidEffectError

EffectName = Literal["blur", "mask", "overlay", "color", "image"]
ALL_EFFECT_NAMES: tuple[EffectName, ...] = get_args(EffectName)
EFFECT_NAMES: tuple[EffectName, ...] = ALL_EFFECT_NAMES[:-1]
"""Those that are drawn from a picture and its mask alone."""

# A blur this narrow (in pixels) leaves no pixel different by a visible amount.
_SMALLEST_SIGMA = 0.25


@dataclass(frozen=True, slots=True)
class EffectSpec:
    """One effect with its settings.

    Attributes:
        effect: blur (background blurred), mask (the mask as grey video), overlay (subject tinted with
            `color_rgb`), color (background replaced by `color_rgb`), image (background replaced by another picture).
        strength: 0..1; radius of the blur, or opacity of the overlay. Without meaning for the others.
        color_rgb: red, green, blue, each 0..255.
        despill: whether color and image take the old background's colour out of soft edges. Without meaning for others.
    """

    effect: EffectName
    strength: float = 0.5
    color_rgb: tuple[int, int, int] = (0, 177, 64)
    despill: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.effect not in ALL_EFFECT_NAMES:
            raise InvalidEffectError(f"unknown effect {self.effect!r}; known: {', '.join(ALL_EFFECT_NAMES)}")
        if not 0.0 <= self.strength <= 1.0:  # also refuses NaN
            raise InvalidEffectError(f"strength must be between 0 and 1, got {self.strength}")
        if len(self.color_rgb) != 3 or not all(0 <= value <= 255 for value in self.color_rgb):
            raise InvalidEffectError(f"color_rgb must be three values 0..255, got {self.color_rgb}")


def blur_sigma_pixels(spec: EffectSpec, size_hw: tuple[int, int]) -> float:
    """Standard deviation of the background's blur, in pixels of the picture."""
    return spec.strength * BLUR_SIGMA_AT_FULL_STRENGTH * min(size_hw)


def effect_of(output: OutputSpec) -> EffectSpec:
    """The effect that a client asks for."""
    return EffectSpec(output.effect, output.strength, output.color_rgb, output.despill)  # type: ignore[arg-type]


def is_invisible(spec: EffectSpec, size_hw: tuple[int, int]) -> bool:
    """Whether the effect leaves the picture as it is."""
    return spec.effect == "blur" and blur_sigma_pixels(spec, size_hw) < _SMALLEST_SIGMA
