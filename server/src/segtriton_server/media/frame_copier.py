"""Copies of decoded frames, with what they say beside their samples (FFmpeg's side data)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av.filter
from av.video.frame import PictureType, VideoFrame

_UNIT = Fraction(1)


class FrameCopier:
    """FFmpeg's copy filter: PyAV gives a new frame no side data."""

    def __init__(self, pixel_format: str) -> None:
        """Make copies of a pixel format, by FFmpeg's name."""
        self._pixel_format = pixel_format
        self._graph: Any = None
        self._kind: tuple[int, int, str] | None = None

    def copy(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame with memory of its own; how it was coded is forgotten."""
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = _make_graph(frame, self._pixel_format), kind
        self._graph.vpush(frame)
        copy: VideoFrame = self._graph.vpull()
        copy.pict_type = PictureType.NONE  # an encoder would take it for a wish
        return copy


def _make_graph(frame: VideoFrame, pixel_format: str) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_UNIT)
    wanted = graph.add("format", f"pix_fmts={pixel_format}")
    graph.link_nodes(source, graph.add("copy"), wanted, graph.add("buffersink")).configure()
    return graph
