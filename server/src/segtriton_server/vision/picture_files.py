"""Pictures in files, for commands that try a network."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import InvalidPictureError, Picture
from segtriton_server.vision.resampling import resize

_MADE_HW = (360, 640)


def read_picture(path: Path) -> Picture:
    """Return the picture of a PNG or JPEG file; raises InvalidPictureError or OSError."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if decoded is None:
        raise InvalidPictureError(f"{path} is no picture that can be read; give a PNG or JPEG")
    return Picture((np.ascontiguousarray(decoded[..., ::-1]),))


def make_picture() -> Picture:
    """Return a picture of smooth colours, 640x360, for a network that is tried without one."""
    height, width = _MADE_HW
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [
        128 + 100 * np.sin(rows / (20 + 9 * channel)) * np.cos(columns / (31 - 7 * channel)) for channel in range(3)
    ]
    return Picture((np.stack(waves, axis=2).astype(np.uint8),))


def write_mask(path: Path, mask: NDArray[np.uint8], size_hw: tuple[int, int]) -> None:
    """Write a mask at a picture's size, as a PNG or what the name says; raises InvalidPictureError or OSError."""
    try:
        is_coded, content = cv2.imencode(path.suffix or ".png", resize(mask, size_hw))
    except cv2.error:
        is_coded = False
    if not is_coded:
        raise InvalidPictureError(f"{path} must end in .png or .jpg")
    path.write_bytes(content.tobytes())
