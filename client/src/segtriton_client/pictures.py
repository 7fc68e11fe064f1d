"""Decoded pictures to RGB of one size, and back, in the colours that the video says it has."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.error import BlockingIOError, EOFError
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from segtriton_protocol import VideoFormat

# ITU-T H.273 code points; PyAV's conversions know no BT.2020.
_COLORSPACES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.ITU709}
_HD_HEIGHT = 720
_UNIT = Fraction(1)
_RGB = "rgb24"
_EIGHT_BITS = 8
_WITH_ALPHA = 4

RgbPicture = NDArray[np.uint8]


class PictureReader:
    """Makes interlaced pictures whole and converts all to RGB of the video's size.

    Attributes:
        notes: what was changed about the pictures, each one sentence.
    """

    def __init__(self, video: VideoFormat, *, deinterlace: bool = True, becomes: str = _RGB) -> None:
        """Take size and colours from the video's description; `becomes` is the pixel format that is written."""
        self.notes: dict[str, None] = {}
        self._size = video.width, video.height
        self._is_full_range = video.color.full_range
        default = Colorspace.ITU709 if video.height >= _HD_HEIGHT else Colorspace.ITU601
        self._default_colorspace = _COLORSPACES.get(video.color.matrix, default)
        self._deinterlaces = deinterlace
        self._becomes = becomes
        self._graph: Any = None
        self._durations: dict[int | None, int] = {}

    def make_whole(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        """Deinterlace from the first interlaced picture on; a picture may come out one later."""
        if self._graph is None:
            if not (frame.interlaced_frame and self._deinterlaces):
                return [frame]
            self.notes["The pictures are interlaced; they were deinterlaced."] = None
            self._graph = _make_graph(frame)
        self._durations[frame.pts] = frame.duration or 0
        frame.time_base = _UNIT
        self._graph.vpush(frame)
        return self._pull()

    def flush(self) -> list[av.VideoFrame]:
        """Return what is left at the end."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        frames, self._graph = self._pull(), None
        return frames

    def to_rgb(self, frame: av.VideoFrame) -> RgbPicture:
        """Return a picture as UINT8 [height, width, 3], scaled to the video's size if its own has changed."""
        self._note(frame)
        is_full = self._is_full_range or frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        converted = frame.reformat(
            *self._size,
            _RGB,
            src_colorspace=_COLORSPACES.get(frame.colorspace, self._default_colorspace),
            src_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
        )
        return np.asarray(converted.to_ndarray(), np.uint8)

    def to_yuv(self, rgb: RgbPicture, pixel_format: str) -> av.VideoFrame:
        """Return a picture, UINT8 [height, width, 3 or 4], in the video's own colours."""
        kind = "rgba" if rgb.shape[2] == _WITH_ALPHA else _RGB
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), kind).reformat(
            format=pixel_format,
            dst_colorspace=self._default_colorspace,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if self._is_full_range else ColorRange.MPEG,
        )

    def _note(self, frame: av.VideoFrame) -> None:
        if (frame.width, frame.height) != self._size:
            text = f"The pictures change to {frame.width}x{frame.height}; scaled to {self._size[0]}x{self._size[1]}."
            self.notes[text] = None
        is_kept = self._becomes in (_RGB, frame.format.name.replace("yuvj", "yuv"))
        if frame.format.components[0].bits > _EIGHT_BITS or not is_kept:
            self.notes[f"The pictures are {frame.format.name}; converted to {self._becomes}, 8 bits."] = None

    def _pull(self) -> list[av.VideoFrame]:
        frames: list[av.VideoFrame] = []
        try:
            while True:
                frame = self._graph.vpull()
                # bwdif counts in half the time base, to have room for twice the rate.
                frame.pts = None if frame.pts is None else frame.pts // 2
                frame.duration = self._durations.pop(frame.pts, 0)
                frames.append(frame)
        except (BlockingIOError, EOFError):
            return frames


def display_aspect(video: VideoFormat) -> Fraction:
    """Return width over height of a video as it is seen: turned, and with its samples as wide as they are."""
    stored = Fraction(video.width, video.height) * (video.sample_aspect or 1)
    return 1 / stored if video.orientation.is_transposed else stored


def _make_graph(frame: av.VideoFrame) -> av.filter.Graph:
    """FFmpeg's bwdif, one picture out for each one in; progressive pictures pass unchanged."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_UNIT)
    deinterlace = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    graph.link_nodes(source, deinterlace, graph.add("buffersink")).configure()
    return graph
