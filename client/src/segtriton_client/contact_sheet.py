"""A picture that shows a few frames of the input, of the mask and of the output, one below the other."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from segtriton_client.demuxer import describe_video, pick_video
from segtriton_client.encryption import decode_clear
from segtriton_client.errors import InputError
from segtriton_client.first_picture import FirstPicture
from segtriton_client.image_files import write_image
from segtriton_client.pictures import PictureReader, display_aspect
from segtriton_client.sources import open_input

_COLUMNS = 5
_TILE_WIDTH = 320
_GAP = 12
_PAPER = 255

Image = NDArray[np.uint8]


class _Shown(NamedTuple):
    """Pictures turned as they are seen, and the width over the height that they then have."""

    images: list[Image]
    aspect: Fraction


def write_contact_sheet(rows: Sequence[Path], output: Path) -> None:
    """Write a PNG whose rows are the videos, as they are seen, and whose columns are the same moments of each.

    Raises:
        InputError: a video cannot be read.
        OutputError: the picture cannot be written.
    """
    moments = _spread(rows[0])
    videos = [_pictures_at(path, moments) for path in rows]
    width, aspect = videos[0].images[0].shape[1], videos[0].aspect
    tile_width = max(_TILE_WIDTH, min(width, 2 * _TILE_WIDTH))
    tile_height = round(tile_width / aspect)
    write_image(
        _lay_out([[_scale(image, tile_width, tile_height) for image in video.images] for video in videos]), output
    )


def _spread(path: Path) -> list[Fraction]:
    """Return moments in the middle of equal parts of the video, each the time of a frame."""
    with open_input(path) as container:
        stream = pick_video(container, path)
        times = sorted(
            packet.pts * packet.time_base
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None and not packet.is_discard
        )
    if not times:
        raise InputError(f"{path} holds no frames.")
    return [times[(2 * column + 1) * len(times) // (2 * _COLUMNS)] for column in range(_COLUMNS)]


def _pictures_at(path: Path, moments: Sequence[Fraction]) -> _Shown:
    """Return the frame shown at each moment."""
    frames: list[av.VideoFrame] = []
    with open_input(path) as container:
        stream = pick_video(container, path)
        frame = None
        try:
            for frame in decode_clear(container, stream, path):
                # Half a millisecond forgives containers with a coarser time base.
                while len(frames) < len(moments) and _time_of(frame) >= moments[len(frames)] - Fraction(1, 2000):
                    frames.append(frame)
                if len(frames) == len(moments):
                    break
        except av.error.FFmpegError as error:
            raise InputError(f"{path} is damaged: {error.strerror}.") from None
        if frame is None:
            raise InputError(f"{path} holds no frames.")
        first = FirstPicture()
        first.take(frame, stream.codec_context.name)
        video = describe_video(stream, path, first)
    reader = PictureReader(video)
    frames += [frame] * (len(moments) - len(frames))
    return _Shown([video.orientation.to_shown(reader.to_rgb(frame)) for frame in frames], display_aspect(video))


def _time_of(frame: av.VideoFrame) -> Fraction:
    return (frame.pts or 0) * (frame.time_base or Fraction(0))


def _scale(image: Image, width: int, height: int) -> Image:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(width, height)
    return np.asarray(frame.to_ndarray(), np.uint8)


def _lay_out(rows: list[list[Image]]) -> Image:
    height, width = rows[0][0].shape[:2]
    count = len(rows[0])
    sheet = np.full((len(rows) * (height + _GAP) + _GAP, count * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = _GAP + i * (height + _GAP), _GAP + j * (width + _GAP)
            sheet[top : top + height, left : left + width] = image
    return sheet
