"""Times of pictures in display order, for sources that only know when packets are decoded."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any, TypeAlias, cast

import av
import av.error
from av.container import InputContainer
from av.container.core import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

# FFmpeg invents a pts from the next packet's dts, which only holds where its demuxers know which pictures are B-frames.
_UNPARSED_CODECS = ("h264", "hevc")
_MAX_HEAD_PACKETS = 16

Demuxed: TypeAlias = "tuple[av.Packet[Any], bool]"
"""A packet, and whether it is the video's."""


def leave_pts_absent(container: InputContainer, video: VideoStream) -> None:
    """Keep FFmpeg from inventing presentation times that are in decoding order."""
    if video.codec_context.name in _UNPARSED_CODECS:
        container.flags &= ~cast(int, Flags.gen_pts.value)


def drop_false_pts(packets: Iterator[Demuxed], video: VideoStream) -> Iterator[Demuxed]:
    """Give all packets; a pts that only repeats the decoding order becomes the dts.

    Muxers that were given no pts write the dts twice. The first packets are decoded where theirs rise although the
    codec reorders pictures: the decoder knows the order.
    """
    head: list[Demuxed] = []
    failure: av.error.FFmpegError | None = None
    try:
        if video.codec_context.reorder_depth:
            _read_head(packets, head)
    except av.error.FFmpegError as error:
        failure = error
    newest = float("-inf") if _is_decode_order(head, video) else float("inf")
    for packet, is_video in chain(head, packets):
        if is_video and packet.pts is not None:
            newest = packet.pts if packet.pts > newest else float("inf")  # one that goes back is true
            if newest < float("inf"):
                packet.dts, packet.pts = packet.pts, None
        yield packet, is_video
    if failure is not None:
        raise failure


def _read_head(packets: Iterator[Demuxed], head: list[Demuxed]) -> None:
    """Read until a video packet's pts goes back, or enough of them."""
    stamps: list[int] = []
    for packet, is_video in packets:
        head.append((packet, is_video))
        if not is_video:
            continue
        if packet.pts is None or (stamps and packet.pts < stamps[-1]):
            return
        stamps.append(packet.pts)
        if len(stamps) == _MAX_HEAD_PACKETS:
            return


def _is_decode_order(head: list[Demuxed], video: VideoStream) -> bool:
    """Tell whether the pts rise from packet to packet and not from picture to picture."""
    packets = [packet for packet, is_video in head if is_video and packet.size]
    if any(packet.pts is None for packet in packets) or not _rises([cast(int, packet.pts) for packet in packets]):
        return False
    context = cast(VideoCodecContext, av.CodecContext.create(video.codec_context.name, "r"))
    context.extradata = video.codec_context.extradata
    context.reorder_depth = video.codec_context.reorder_depth
    shown: list[int] = []
    for packet in (*packets, None):
        try:
            shown += [frame.pts for frame in context.decode(packet) if frame.pts is not None]
        except av.error.FFmpegError:
            continue  # what is damaged says nothing about the order
    return not _rises(shown)


def _rises(stamps: list[int]) -> bool:
    return all(earlier < later for earlier, later in pairwise(stamps))


class DisplayTimes:
    """Gives pictures, which come in display order, the decoding times of their packets in rising order.

    All times are in one time base. Where some packets have a pts, pictures without one are shown between these, and
    decoding times may not lie there.
    """

    def __init__(self) -> None:
        """Begin with no packet."""
        self._waiting: list[int] = []
        self._has_pts = False

    def expect(self, pts: int | None, dts: int | None) -> None:
        """Take note of a packet that is about to be decoded."""
        if pts is not None:
            self._has_pts = True
            self._waiting.clear()
        elif dts is not None and not self._has_pts:
            bisect.insort(self._waiting, dts)

    def place(self, pts: int | None) -> int | None:
        """Return when a picture is shown: its packet's pts, without any the earliest time that is left."""
        return self._waiting.pop(0) if pts is None and self._waiting else pts

    def forget(self, pts: int | None, dts: int | None) -> None:
        """Take note of a packet that gives no picture."""
        if pts is None and self._waiting:
            position = bisect.bisect_left(self._waiting, dts) if dts is not None else 0
            is_there = position < len(self._waiting) and self._waiting[position] == dts
            del self._waiting[position if is_there else 0]
