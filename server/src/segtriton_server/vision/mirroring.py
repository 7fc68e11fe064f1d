"""Masks of a picture and of its mirror image, averaged: what the network gets wrong is seldom the same in both.

Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012, average
predictions of reflections in this way. Both go through the network one after the other: a batch holds no more pictures.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import Orientation
from segtriton_server.vision.segmenter import ClassIds, Segmenter

Plane = NDArray[np.uint8]


def add_mirrored(
    segmenter: Segmenter,
    positions: Sequence[int],
    inputs: Sequence[Plane],
    classes: Sequence[ClassIds],
    orientations: Sequence[Orientation],
    masks: list[Plane],
) -> None:
    """Replace the masks [h, w] at some positions by their means with the masks of the mirrored inputs [h, w, 3]."""
    if not positions:
        return
    mirrored = segmenter.segment(
        [np.ascontiguousarray(inputs[at][:, ::-1]) for at in positions],
        [classes[at] for at in positions],
        [orientations[at] for at in positions],
    )
    for at, mask in zip(positions, mirrored, strict=True):
        # What is left and right as the picture is seen may lie above and below as it is stored.
        turned_back = cv2.flip(mask, 0 if orientations[at].is_transposed else 1)
        masks[at] = cv2.addWeighted(masks[at], 0.5, turned_back, 0.5, 0.0)  # type: ignore[assignment]
