"""From a picture to what a network sees: small, RGB, floating point."""

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.vision.color import yuv_to_rgb_affine
from segtriton_server.vision.resampling import shrink_to_8_bits


def small_rgb(picture: Picture, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The picture at `size_hw` as RGB [h, w, 3] in 0..1.

    The planes are shrunk first and only the small picture is converted, so the cost hardly depends on the
    size of the picture. The aspect ratio is not kept: the mask then covers the whole picture.
    """
    small_planes = [shrink_to_8_bits(plane, size_hw) for plane in picture.planes]
    if picture.is_rgb:
        return _to_unit_range(small_planes[0])
    # In 8 bits OpenCV saturates, so code values outside the legal range do not become colours below 0 or above 1.
    affine = yuv_to_rgb_affine(picture.matrix, picture.color_range)
    return _to_unit_range(cv2.transform(cv2.merge(small_planes), affine))


def _to_unit_range(rgb: MatLike) -> NDArray[np.float32]:
    return np.multiply(rgb, np.float32(1 / 255), dtype=np.float32)
