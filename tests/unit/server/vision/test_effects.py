import pytest

from segtriton_server.vision.effects import EFFECT_NAMES, EffectSpec, blur_sigma_pixels
from segtriton_server.vision.errors import InvalidEffectError


def test_every_effect_has_defaults() -> None:
    assert EFFECT_NAMES == ("blur", "mask", "overlay", "color")
    for name in EFFECT_NAMES:
        assert EffectSpec(name).strength == 0.5


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan"), float("inf")])
def test_strength_is_between_0_and_1(strength: float) -> None:
    with pytest.raises(InvalidEffectError, match="strength"):
        EffectSpec("blur", strength)


@pytest.mark.parametrize("color", [(0, 0, 256), (-1, 0, 0), (0, 0)])
def test_color_is_three_bytes(color: tuple[int, ...]) -> None:
    with pytest.raises(InvalidEffectError, match="color_rgb"):
        EffectSpec("color", color_rgb=color)  # type: ignore[arg-type]


def test_unknown_effect_names_the_known_ones() -> None:
    with pytest.raises(InvalidEffectError, match=r"sparkle.*blur, mask, overlay, color"):
        EffectSpec("sparkle")  # type: ignore[arg-type]


def test_blur_grows_with_the_picture() -> None:
    spec = EffectSpec("blur")
    assert blur_sigma_pixels(spec, (720, 1280)) == pytest.approx(14.4)
    assert blur_sigma_pixels(spec, (1280, 720)) == pytest.approx(14.4)
    assert blur_sigma_pixels(spec, (1440, 2560)) == pytest.approx(28.8)
