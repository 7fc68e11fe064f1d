"""From a picture to what a network sees: small and RGB."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.frames import Picture
from segtriton_server.vision.color import yuv_to_rgb_affine
from segtriton_server.vision.networks.card import InputSpec
from segtriton_server.vision.resampling import shrink_to_8_bits


def small_rgb(picture: Picture, size_hw: tuple[int, int], orientation: Orientation = UPRIGHT) -> NDArray[np.uint8]:
    """The picture as it is seen, at `size_hw`, as RGB uint8 [h, w, 3].

    The planes are shrunk first and only the small picture is converted and turned, so the cost hardly depends on the
    size of the picture. The aspect ratio is not kept: the mask then covers the whole picture, and samples that are not
    square look as square ones do.
    """
    stored_hw = orientation.stored_hw(size_hw)
    small_planes = [shrink_to_8_bits(plane, stored_hw) for plane in picture.planes]
    if picture.is_rgb:
        return np.ascontiguousarray(orientation.to_shown(small_planes[0]))
    # In 8 bits OpenCV saturates, so code values outside the legal range do not become colours below 0 or above 1.
    affine = yuv_to_rgb_affine(picture.matrix, picture.color_range)
    rgb = cv2.transform(cv2.merge(small_planes), affine)
    return np.ascontiguousarray(orientation.to_shown(rgb), np.uint8)


def network_rgb(spec: InputSpec, picture: Picture, orientation: Orientation = UPRIGHT) -> NDArray[np.uint8]:
    """The picture as it is seen, as RGB uint8 [h, w, 3]: as much of a network's input as its card gives to it."""
    shown_hw = orientation.stored_hw(picture.size_hw)
    return small_rgb(picture, spec.content_hw(shown_hw), orientation)
