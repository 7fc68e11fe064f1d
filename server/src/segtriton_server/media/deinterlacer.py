"""Interlaced pictures made whole, at their own rate."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av.filter
from av.error import BlockingIOError, EOFError
from av.video.frame import VideoFrame

_UNIT = Fraction(1, 1)


class Deinterlacer:
    """FFmpeg's bwdif (Browaeys and Fleury, after the BBC's w3fdif and yadif), one picture out for each one in.

    Pictures that are marked as progressive pass unchanged. A picture comes out after the next one has gone in. Its pts
    may be any number: it only travels.
    """

    def __init__(self) -> None:
        """Wait for the first picture to tell size and format."""
        self._graph: av.filter.Graph | None = None
        self._kind: tuple[int, int, str] | None = None

    def filter(self, frame: VideoFrame) -> list[VideoFrame]:
        """Take a picture; return those that are ready."""
        ready: list[VideoFrame] = []
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or kind != self._kind:
            ready = self.flush()
            self._graph, self._kind = _make_graph(frame), kind
        frame.time_base = _UNIT
        self._graph.vpush(frame)
        return ready + self._pull()

    def flush(self) -> list[VideoFrame]:
        """Return what is left; the next picture may be of another size."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        ready, self._graph = self._pull(), None
        return ready

    def _pull(self) -> list[VideoFrame]:
        assert self._graph is not None
        frames: list[VideoFrame] = []
        try:
            while True:
                frames.append(self._graph.vpull())
                # bwdif counts in half the time base, to have room for twice the rate.
                pts = cast(int, frames[-1].pts)
                frames[-1].pts = pts // 2
        except (BlockingIOError, EOFError):
            return frames


def _make_graph(frame: VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_UNIT)
    deinterlace = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    graph.link_nodes(source, deinterlace, graph.add("buffersink")).configure()
    return graph
