"""JPEGs whose EXIF says how they are turned."""

import struct
from pathlib import Path

import av
import numpy as np


def exif_of(orientation: int) -> bytes:
    """The EXIF block of an orientation, 1 to 8, as an APP1 segment holds it."""
    return b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def write_photograph(path: Path, stored: np.ndarray, orientation: int) -> Path:
    """Write pixels [h, w, 3] as they are stored."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width, encoder.pix_fmt, encoder.framerate = *stored.shape[:2], "yuvj420p", 1
    encoder.qmin = encoder.qmax = 2
    frame = av.VideoFrame.from_ndarray(stored, "rgb24").reformat(format="yuvj420p")
    jpeg = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    exif = exif_of(orientation)
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    return path
