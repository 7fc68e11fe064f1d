"""What the first picture of a video says of all of them: how they are turned to be seen."""

from __future__ import annotations

import struct
from typing import Any, cast

import av
import av.error
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideDataType
from av.video.stream import VideoStream

from segtriton_client.errors import InputError
from segtriton_client.sources import Source, open_input

_MATRIX = struct.Struct("=9i")


def _of_no_listed_type(kind: type[SideDataType], value: object) -> SideDataType:
    """Take a type of side data that is newer than PyAV's list: it refuses all side data of such a picture otherwise."""
    member = object.__new__(kind)
    member._name_ = f"UNLISTED_{value}"
    member._value_ = value  # type: ignore[assignment]
    return member


SideDataType._missing_ = classmethod(_of_no_listed_type)  # type: ignore[method-assign, assignment]


def display_matrix_of(frame: av.VideoFrame) -> tuple[int, ...]:
    """Return how a player turns a picture, nine integers in FFmpeg's layout, by its container or EXIF; () as it is."""
    side_data = cast(Buffer | None, frame.side_data.get("DISPLAYMATRIX"))
    return () if side_data is None else _MATRIX.unpack(bytes(side_data))


class FirstPicture:
    """Decodes a stream's packets until one gives a picture.

    Attributes:
        display_matrix: see `display_matrix_of`; () until there is a picture.
        is_known: whether there is a picture.
    """

    def __init__(self) -> None:
        self.display_matrix: tuple[int, ...] = ()
        self.is_known = False

    def look_at(self, stream: VideoStream, packet: av.Packet[Any] | None) -> None:
        """Decode a packet, or, with None, what the decoder holds back; what is damaged gives no picture."""
        if self.is_known:
            return
        try:
            frame = next(iter(stream.decode(packet)), None)
        except av.error.FFmpegError:
            return
        if frame is not None:
            self.take(frame)

    def take(self, frame: av.VideoFrame) -> None:
        """Note what a picture says, if it is the first."""
        if not self.is_known:
            self.display_matrix, self.is_known = display_matrix_of(frame), True


def read_first_picture(path: Source, stream_index: int) -> FirstPicture:
    """Read a source up to its first picture; raises InputError where it cannot be opened."""
    first = FirstPicture()
    with open_input(path) as container:
        stream: Any = container.streams[stream_index]
        if not isinstance(stream, VideoStream):
            raise InputError(f"{path} changed while it was read.")
        stream.thread_type = "NONE"  # frame threads would read further than the first picture
        try:
            for packet in container.demux(stream):  # the last one is empty and gives what was held back
                first.look_at(stream, packet)
                if first.is_known:
                    break
        except av.error.FFmpegError:
            pass  # whoever reads the pictures finds it and says so
    return first
