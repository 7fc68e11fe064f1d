"""From a picture to what a network sees: small, RGB, floating point."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.vision.color import yuv_to_rgb_affine
from segtriton_server.vision.resampling import shrink


def small_rgb(picture: Picture, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The picture at `size_hw` as RGB [h, w, 3] in 0..1.

    The planes are shrunk first and only the small picture is converted, so the cost hardly depends on the
    size of the picture. The aspect ratio is not kept: the mask then covers the whole picture.
    """
    small_planes = [shrink(plane, size_hw) for plane in picture.planes]
    if picture.is_rgb:
        return np.multiply(small_planes[0], np.float32(1 / 255), dtype=np.float32)
    yuv = np.empty((*size_hw, 3), np.float32)
    cv2.merge(small_planes, dst=(small_yuv := np.empty((*size_hw, 3), np.uint8)))
    np.copyto(yuv, small_yuv)
    affine = yuv_to_rgb_affine(picture.matrix, picture.color_range) / 255.0
    rgb = cv2.transform(yuv, affine, dst=yuv)
    # Code values outside the legal range would otherwise reach the network as colours below 0 or above 1.
    return np.clip(rgb, 0.0, 1.0, out=yuv)
