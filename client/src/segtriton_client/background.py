"""What is put behind the subject: a picture, or a video that begins again when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from segtriton_client.demuxer import describe_video, pick_video
from segtriton_client.encryption import decode_clear
from segtriton_client.errors import InputError
from segtriton_client.first_picture import FirstPicture
from segtriton_client.pictures import PictureReader, display_aspect
from segtriton_client.sources import open_input
from segtriton_protocol import UPRIGHT, VideoFormat

Picture = NDArray[np.uint8]


class Background:
    """Pictures scaled and cropped to cover what they stand behind, both as they are seen."""

    def __init__(self, path: Path, video: VideoFormat | None = None) -> None:
        """Open a picture or video; raises InputError.

        Args:
            path: the file.
            video: what it stands behind; None for pictures that are given as they are seen.
        """
        self._path = path
        self._orientation = video.orientation if video else UPRIGHT
        self._aspect = display_aspect(video) if video else None
        self._shots = self._play()
        self._shown, self._until = next(self._shots)
        self._fitted: Picture | None = None

    def at(self, time: Fraction, shape: tuple[int, ...]) -> Picture:
        """The picture at a time in seconds, which never goes back, with the height and width of `shape`."""
        while self._until is not None and time >= self._until:
            self._shown, self._until = next(self._shots)
            self._fitted = None
        if self._fitted is None or self._fitted.shape[:2] != shape[:2]:
            self._fitted = self._fit(self._shown, shape)
        return self._fitted

    def once(self, shape: tuple[int, ...]) -> Iterator[tuple[Picture, Fraction, Fraction | None]]:
        """Give each picture, fitted to the height and width of `shape`, from when and until when it is shown.

        Times are in seconds from the beginning; None stands for ever.
        """
        begin = Fraction(0)
        for rgb, end in self._play_once():
            yield self._fit(rgb, shape), begin, end
            begin = end or begin

    def _fit(self, rgb: Picture, shape: tuple[int, ...]) -> Picture:
        shown_hw = self._orientation.stored_hw((shape[0], shape[1]))
        aspect = self._aspect or Fraction(shape[1], shape[0])
        covering = _cover(rgb, aspect / self._shown_aspect, shown_hw)
        return np.ascontiguousarray(self._orientation.to_stored(covering))

    def _play(self) -> Iterator[tuple[Picture, Fraction | None]]:
        """Give each picture and until when it is shown, None for ever; a video starts anew at its end."""
        begun = end = Fraction(0)
        while True:
            for rgb, until in self._play_once():
                if until is None:
                    yield rgb, None
                    return
                end = begun + until
                yield rgb, end
            begun = end

    def _play_once(self) -> Iterator[tuple[Picture, Fraction | None]]:
        """Give each picture and until when it is shown, from the beginning; None for ever if it is the only one."""
        last: tuple[Picture, Fraction] | None = None
        count = 0
        for rgb, time in self._read():
            if last is not None:
                yield last[0], time
            last, count = (rgb, time), count + 1
        if last is None:
            raise InputError(f"{self._path} holds no picture.")
        yield last[0], None if count == 1 else last[1] + last[1] / (count - 1)

    def _read(self) -> Iterator[tuple[Picture, Fraction]]:
        with open_input(self._path) as container:
            stream = pick_video(container, self._path)
            reader = PictureReader(describe_video(stream, self._path))
            start: Fraction | None = None
            first = FirstPicture()
            try:
                for frame in decode_clear(container, stream, self._path):
                    time = (frame.pts or 0) * (frame.time_base or Fraction(0))
                    start = time if start is None else start
                    if not first.is_known:
                        first.take(frame, stream.codec_context.name)
                        video = describe_video(stream, self._path, first)
                        self._shown_aspect = display_aspect(video)
                    yield video.orientation.to_shown(reader.to_rgb(frame)), time - start
            except av.error.FFmpegError as error:
                raise InputError(f"Cannot read {self._path}: {error.strerror}.") from None


def _cover(rgb: Picture, aspect_ratio: Fraction, size_hw: tuple[int, int]) -> Picture:
    """Cut off what stands out of a picture that covers another, and scale the rest.

    Args:
        rgb: the picture [height, width, 3].
        aspect_ratio: the aspect of what is covered, over the picture's own.
        size_hw: height and width of the result in pixels.
    """
    height, width = rgb.shape[:2]
    rows = max(1, round(height * min(Fraction(1), 1 / aspect_ratio)))
    columns = max(1, round(width * min(Fraction(1), aspect_ratio)))
    top, left = (height - rows) // 2, (width - columns) // 2
    cut = np.ascontiguousarray(rgb[top : top + rows, left : left + columns])
    scaled = av.VideoFrame.from_ndarray(cut, "rgb24").reformat(*size_hw[::-1], "rgb24", interpolation="AREA")
    return np.asarray(scaled.to_ndarray(), np.uint8)
