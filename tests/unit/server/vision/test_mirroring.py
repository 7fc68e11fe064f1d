"""The mean of a picture's mask and of its mirror image's."""

from typing import Any

import numpy as np
import pytest

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.vision.mirroring import add_mirrored

CLASSES = frozenset({1})
TURNED = Orientation(is_transposed=True, flips_columns=True)
ORIENTATIONS = [UPRIGHT, TURNED, Orientation(flips_rows=True), Orientation(is_transposed=True)]


class LeftHanded:
    """A network that answers with the red of its input, and sees nothing in the right half."""

    def segment(self, inputs: Any, classes: Any, orientations: Any) -> list[np.ndarray]:
        masks = [shown[..., 0].copy() for shown in inputs]
        for mask in masks:
            mask[:, mask.shape[1] // 2 :] = 0
        return [np.ascontiguousarray(to.to_stored(mask)) for to, mask in zip(orientations, masks, strict=True)]


def shown_input() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (6, 10, 3), np.uint8) & 0xFE  # even, so that means are exact


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_half_is_found_by_one_of_both(orientation: Orientation) -> None:
    network: Any = LeftHanded()
    inputs = [shown_input()]
    masks = network.segment(inputs, [CLASSES], [orientation])
    add_mirrored(network, [0], inputs, [CLASSES], [orientation], masks)

    assert np.array_equal(orientation.to_shown(masks[0]), inputs[0][..., 0] // 2)


def test_only_those_that_ask_are_changed() -> None:
    network: Any = LeftHanded()
    inputs = [shown_input(), shown_input()]
    masks = network.segment(inputs, [CLASSES] * 2, [UPRIGHT] * 2)
    before = masks[0].copy()
    add_mirrored(network, [1], inputs, [CLASSES] * 2, [UPRIGHT] * 2, masks)

    assert np.array_equal(masks[0], before)
    assert not np.array_equal(masks[1], before)
