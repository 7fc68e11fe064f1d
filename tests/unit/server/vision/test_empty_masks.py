"""Frames in which the network found nothing of the class."""

import numpy as np
import pytest

from segtriton_server.vision.empty_masks import EmptyMasks


def mask(highest: int) -> np.ndarray:
    found = np.zeros((4, 6), np.uint8)
    found[2, 3] = highest
    return found


@pytest.mark.parametrize(("highest", "count"), [(0, 1), (127, 1), (128, 0), (255, 0)])
def test_a_mask_below_one_half_is_empty(highest: int, count: int) -> None:
    plain, inverted = EmptyMasks(is_inverted=False), EmptyMasks(is_inverted=True)
    plain.add(mask(highest))
    inverted.add(255 - mask(highest))

    assert (plain.count, inverted.count) == (count, count)


def test_a_mask_that_is_taken_again_counts_again() -> None:
    empty = EmptyMasks(is_inverted=False)
    for each in (mask(0), None, mask(200), None, None, mask(0)):
        empty.add(each)

    assert empty.count == 3
