"""Photographs and other still images: which are read, and how each is coded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from segtriton_client.demuxer import pick_video
from segtriton_client.errors import InputError
from segtriton_client.file_kinds import is_regular
from segtriton_client.heif_grid import read_grid
from segtriton_client.image_metadata import copy_jpeg_metadata, copy_webp_metadata
from segtriton_client.side_data import display_matrix_of
from segtriton_client.sources import open_input
from segtriton_client.system_errors import reading
from segtriton_client.transparency import is_transparent
from segtriton_protocol import UPRIGHT, Orientation

Pixels = NDArray[np.uint8]

_WITH_ALPHA = 4
_EIGHT_BITS = 8
_JPEG_QUALITY = 2  # the quantiser scale, 1 (best) to 31
_PNG = ".png"
_HEAD_BYTES = 1 << 16
_WEBP_ANIMATION = 0x02  # a flag of VP8X
_SEQUENCE_BRANDS = (b"avis", b"msf1", b"hevc")


@dataclass(frozen=True, slots=True)
class _Coding:
    """An encoder, its pixel formats without and with alpha, and its options."""

    codec: str
    pixel_format: str
    alpha_format: str
    options: dict[str, str]


_JPEG = _Coding("mjpeg", "yuvj420p", "yuvj420p", {})
_TIFF = _Coding("tiff", "rgb24", "rgba", {})
_CODINGS = {
    _PNG: _Coding("png", "rgb24", "rgba", {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Coding("libwebp", "yuv420p", "bgra", {"quality": "95"}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _Coding("bmp", "bgr24", "bgra", {}),
}
# No encoder of FFmpeg's writes such stills so that they are read everywhere.
_READ_ONLY = (".gif", ".heic", ".heif", ".avif")

WRITTEN_SUFFIXES = tuple(_CODINGS)
_READ_SUFFIXES = (*WRITTEN_SUFFIXES, *_READ_ONLY)


@dataclass(frozen=True, slots=True)
class StillImage:
    """A decoded image.

    Attributes:
        rgb: the picture as it is seen, UINT8 [height, width, 3].
        path: its file.
        frame: what carries all that lies beside the pixels.
        orientation: what makes the picture of the file's pixels.
        is_of_file: whether `frame` is all of the file's picture, and its kind of file is written, too.
    """

    rgb: Pixels
    path: Path
    frame: av.VideoFrame
    orientation: Orientation = UPRIGHT
    is_of_file: bool = True

    @property
    def has_alpha(self) -> bool:
        """Whether it is transparent in places."""
        return is_transparent(self.frame)

    @property
    def is_deep(self) -> bool:
        """Whether its samples have more than 8 bits."""
        return any(part.bits > _EIGHT_BITS for part in self.frame.format.components)


def is_still(path: Path) -> bool:
    """Tell whether a file is a still image: by its name, and where that does not tell, by what it holds."""
    return path.suffix.lower() in _READ_SUFFIXES and not _is_animated(path)


def written_suffix(suffix: str) -> str:
    """Return how the result of an image ends, by how that ends: the same, or .png."""
    return _PNG if suffix.lower() in _READ_ONLY else suffix


def read_still(path: Path) -> StillImage:
    """Decode an image; raises InputError."""
    with reading(path), open_input(path) as container:
        stream = _pick_image(container, path)
        if stream.disposition & Disposition.dependent:
            return _read_tiles(container, path)
        frame = next(container.decode(stream), None)
    if frame is None:
        raise InputError(f"{path} holds no picture.")
    orientation = Orientation.from_matrix(display_matrix_of(frame, stream.codec_context.name))
    rgb = orientation.to_shown(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    is_of_file = path.suffix.lower() not in _READ_ONLY
    return StillImage(np.ascontiguousarray(rgb), path, frame, orientation, is_of_file)


def _read_tiles(container: InputContainer, path: Path) -> StillImage:
    """Decode and join the tiles of a photograph; raises InputError where they do not fit together."""
    grid = read_grid(path.read_bytes())
    frames = {
        packet.stream.id: frame for packet in container.demux(container.streams.video) for frame in packet.decode()
    }
    if grid is None or any(tile not in frames for tile in grid.tiles):
        raise InputError(f"{path} is a photograph in tiles of an unknown order.", "Convert it to JPEG first.")
    tiles = [np.asarray(frames[tile].to_ndarray(format="rgb24"), np.uint8) for tile in grid.tiles]
    return StillImage(grid.join(tiles), path, frames[grid.tiles[0]], is_of_file=False)


def encode_still(rgb: Pixels, suffix: str, original: StillImage | None = None) -> bytes:
    """Return a picture as it is seen, UINT8 [height, width, 3 or 4], as an image file with the metadata of another.

    A file of the original's kind is turned as that is, by the same EXIF; any other lies upright, without EXIF where the
    original's would turn it. JPEG has no alpha, BMP no metadata.

    Raises:
        av.error.FFmpegError: the picture cannot be coded so.
        OSError: the original can no longer be read.
    """
    coding = _CODINGS[suffix.lower()]
    is_same_kind = original is not None and original.path.suffix.lower() == suffix.lower()
    if original is not None and is_same_kind:
        rgb = original.orientation.to_stored(rgb)
    copy_metadata = _COPIES.get(coding.codec) if is_same_kind else None
    carries = copy_metadata is None and original is not None and (is_same_kind or original.orientation == UPRIGHT)
    made = _encode(_new_frame(rgb, original if carries else None), coding, has_alpha=rgb.shape[2] == _WITH_ALPHA)
    if copy_metadata is None or original is None:
        return made
    return copy_metadata(original.path.read_bytes(), made, (rgb.shape[1], rgb.shape[0]))


_COPIES: dict[str, Callable[[bytes, bytes, tuple[int, int]], bytes]] = {
    "mjpeg": lambda original, made, size: copy_jpeg_metadata(original, made),
    "libwebp": copy_webp_metadata,
}


def _new_frame(rgb: Pixels, original: StillImage | None) -> av.VideoFrame:
    """Return pixels as a frame: one with the side data (EXIF, colour profile) of an original's, if there is one."""
    kind = "rgba" if rgb.shape[2] == _WITH_ALPHA else "rgb24"
    if original is None or not original.is_of_file:
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), kind)
    frame = original.frame.reformat(format=kind)
    frame.make_writable()
    (plane,) = frame.planes
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    rows[: rgb.shape[0], : rgb.shape[1] * rgb.shape[2]] = rgb.reshape(rgb.shape[0], -1)
    return frame


def _encode(frame: av.VideoFrame, coding: _Coding, *, has_alpha: bool) -> bytes:
    encoder: Any = av.CodecContext.create(coding.codec, "w")
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt = coding.alpha_format if has_alpha else coding.pixel_format
    encoder.framerate = Fraction(1)
    encoder.qmin = encoder.qmax = _JPEG_QUALITY
    encoder.options = coding.options
    picture = frame.reformat(format=encoder.pix_fmt)
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def _pick_image(container: InputContainer, path: Path) -> VideoStream:
    """Return the picture that a file shows first; raises InputError."""
    named = [stream for stream in container.streams.video if stream.disposition & Disposition.default]
    return named[0] if named else pick_video(container, path)


def _is_animated(path: Path) -> bool:
    if not is_regular(path):
        return False  # what is read from a pipe is gone
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(b"GIF8"):
            return _has_two_pictures(path)
    except (OSError, InputError, av.error.FFmpegError):
        return False  # whoever reads it says so
    if head.startswith(b"\x89PNG"):
        return b"acTL" in head.split(b"IDAT", 1)[0]
    if head.startswith(b"RIFF"):
        return head[12:16] == b"VP8X" and bool(int.from_bytes(head[20:21], "big") & _WEBP_ANIMATION)
    return head[4:8] == b"ftyp" and head[8:12] in _SEQUENCE_BRANDS


def _has_two_pictures(path: Path) -> bool:
    with open_input(path) as container:
        packets = (packet for packet in container.demux(video=0) if packet.size)
        return len(list(islice(packets, 2))) > 1
