"""What the first picture of a video says of all of them."""

from __future__ import annotations

from typing import Any

import av
import av.error
from av.video.stream import VideoStream

from segtriton_client.errors import InputError
from segtriton_client.picture_metadata import PictureMetadata
from segtriton_client.side_data import display_matrix_of
from segtriton_client.sources import Source, open_input
from segtriton_client.transparency import is_transparent


class FirstPicture:
    """Decodes a stream's packets until one gives a picture.

    Attributes:
        is_known: whether there is a picture; without one, nothing is known.
        display_matrix: how a player turns it, nine integers in FFmpeg's layout; () as it is.
        metadata: what it says beside its samples.
        is_transparent: whether it is, in places.
    """

    def __init__(self) -> None:
        self.is_known = False
        self.display_matrix: tuple[int, ...] = ()
        self.metadata = PictureMetadata()
        self.is_transparent = False

    def look_at(self, stream: VideoStream, packet: av.Packet[Any] | None) -> None:
        """Decode a packet, or, with None, what the decoder holds back; what is damaged gives no picture."""
        if self.is_known:
            return
        try:
            frame = next(iter(stream.decode(packet)), None)
        except av.error.FFmpegError:
            return
        if frame is not None:
            self.take(frame, stream.codec_context.name)

    def take(self, frame: av.VideoFrame, codec: str) -> None:
        """Note what a picture says, if it is the first; `codec` is FFmpeg's name of its decoder."""
        if self.is_known:
            return
        self.is_known = True
        self.display_matrix = display_matrix_of(frame, codec)
        self.metadata = PictureMetadata.of(frame, codec)
        self.is_transparent = is_transparent(frame)


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
