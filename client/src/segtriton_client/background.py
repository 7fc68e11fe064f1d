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
from segtriton_client.pictures import PictureReader
from segtriton_client.sources import open_input

Picture = NDArray[np.uint8]


class Background:
    """Pictures scaled and cropped to cover what they stand behind."""

    def __init__(self, path: Path) -> None:
        """Open a picture or video; raises InputError."""
        self._path = path
        self._shots = self._play()
        self._shown, self._until = next(self._shots)
        self._fitted: Picture | None = None

    def at(self, time: Fraction, shape: tuple[int, ...]) -> Picture:
        """The picture at a time in seconds, which never goes back, with the height and width of `shape`."""
        while self._until is not None and time >= self._until:
            self._shown, self._until = next(self._shots)
            self._fitted = None
        if self._fitted is None or self._fitted.shape[:2] != shape[:2]:
            self._fitted = _cover(self._shown, shape[0], shape[1])
        return self._fitted

    def _play(self) -> Iterator[tuple[Picture, Fraction | None]]:
        """Give each picture and until when it is shown, None for ever; a video starts anew at its end."""
        begun = Fraction(0)
        while True:
            last: tuple[Picture, Fraction] | None = None
            count = 0
            for rgb, time in self._read():
                if last is not None:
                    yield last[0], begun + time
                last, count = (rgb, time), count + 1
            if last is None:
                raise InputError(f"{self._path} holds no picture.")
            if count == 1:
                yield last[0], None
                return
            begun += last[1] + last[1] / (count - 1)
            yield last[0], begun

    def _read(self) -> Iterator[tuple[Picture, Fraction]]:
        with open_input(self._path) as container:
            stream = pick_video(container, self._path)
            reader = PictureReader(describe_video(stream, self._path, 0))
            start: Fraction | None = None
            try:
                for frame in decode_clear(container, stream, self._path):
                    time = (frame.pts or 0) * (frame.time_base or Fraction(0))
                    start = time if start is None else start
                    yield reader.to_rgb(frame), time - start
            except av.error.FFmpegError as error:
                raise InputError(f"Cannot read {self._path}: {error.strerror}.") from None


def _cover(rgb: Picture, height: int, width: int) -> Picture:
    """Scale a picture so that it covers the size, and cut off what stands out."""
    factor = max(height / rgb.shape[0], width / rgb.shape[1])
    large_hw = max(height, round(rgb.shape[0] * factor)), max(width, round(rgb.shape[1] * factor))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
    large = np.asarray(frame.reformat(large_hw[1], large_hw[0], "rgb24", interpolation="AREA").to_ndarray(), np.uint8)
    top, left = (large_hw[0] - height) // 2, (large_hw[1] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])
