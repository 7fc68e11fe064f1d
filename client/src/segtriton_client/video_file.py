"""A video as decoded pictures in, and as an encoded file out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from segtriton_client.demuxer import open_input, pick_video, read_rotation
from segtriton_client.errors import InputError, OutputError
from segtriton_client.local_encoder import LocalEncoder
from segtriton_client.muxer import OutputFile

Place = tuple[int | None, int]


class VideoFile:
    """Decodes the input's video here, copies its audio, and encodes the result here.

    Attributes:
        frames: how many frames the container claims, 0 if it does not say.
    """

    encoder = "libx264"
    codec = "h264"

    def __init__(self, input_path: Path, output_path: Path) -> None:
        self._path = input_path
        self._container = open_input(input_path)
        try:
            self._video = pick_video(self._container, input_path)
            self._video.thread_type = "AUTO"
            time_base = self._video.time_base
            if time_base is None:
                raise InputError(f"{input_path} has no usable time base.")
            self.frames = self._video.frames
            self._audio = [stream for stream in self._container.streams.audio if stream.codec_context is not None]
            self._width, self._height = self._video.codec_context.width, self._video.codec_context.height
            self._output = OutputFile(output_path, time_base, self._audio)
        except BaseException:
            self._container.close()
            raise
        try:
            self._encoder = self._open_encoder(time_base)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._output.__exit__(kind, error, trace)
        self._container.close()

    def read(self) -> Iterator[tuple[NDArray[np.uint8], Place]]:
        """Give each picture with its pts and duration; audio goes straight to the output."""
        count = 0
        try:
            for packet in self._container.demux(self._video, *self._audio):
                if packet.stream_index != self._video.index:
                    if packet.size:
                        self._output.write_audio(packet)
                    continue
                for frame in packet.decode():
                    assert isinstance(frame, av.VideoFrame)
                    count += 1
                    # A picture whose size changes on the way is scaled to the first one's.
                    rgb = frame.to_ndarray(format="rgb24", width=self._width, height=self._height)
                    yield np.asarray(rgb, np.uint8), (frame.pts, frame.duration or 0)
        except av.error.FFmpegError as error:
            raise InputError(f"{self._path} is damaged after frame {count}: {error.strerror}.") from None
        if not count:
            raise InputError(f"{self._path} holds no frames.")

    def write(self, rgb: NDArray[np.uint8], place: Place) -> None:
        """Encode one picture with its pts and duration."""
        self._encoder.encode(av.VideoFrame.from_ndarray(rgb, "rgb24"), *place)

    def commit(self) -> None:
        """Finish the file and give it its name."""
        try:
            self._encoder.finish()
        except av.error.FFmpegError as error:
            raise OutputError(f"Cannot write {self._output.path}: {error.strerror}.") from None
        self._output.commit()

    def _open_encoder(self, time_base: Fraction) -> LocalEncoder:
        """Return an encoder for the video's size; odd sizes need full chroma."""
        is_even = self._width % 2 == 0 and self._height % 2 == 0
        return LocalEncoder(
            self._output,
            self._width,
            self._height,
            time_base,
            self._video.average_rate,
            pixel_format="yuv420p" if is_even else "yuv444p",
            rotation=read_rotation(self._path),
        )
