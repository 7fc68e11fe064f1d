"""A result as numbered images: `out/frame_%04d.png`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import av
from av.video.codeccontext import VideoCodecContext

from segtriton_client.errors import OutputError
from segtriton_client.file_kinds import exists
from segtriton_client.image_files import ImageFiles, UnfinishedImages
from segtriton_client.numbered_names import is_numbered, with_number
from segtriton_client.pictures import PictureReader, RgbPicture
from segtriton_protocol import Packet, VideoFormat

_NO_TRACKS = "Images hold no other tracks, such as sound and subtitles; they were left out."


def is_sequence(path: Path) -> bool:
    """Tell whether a name is a pattern of numbered images."""
    return ImageFiles.accepts(path) and is_numbered(path.name) and not exists(path)


class ImageSequence(UnfinishedImages):
    """Images numbered as the pattern says. Other tracks are left out."""

    def __init__(self, pattern: Path) -> None:
        """Check the pattern; raises OutputError."""
        super().__init__()
        self.path = pattern
        self.notes: list[str] = []
        if not is_sequence(pattern):
            raise OutputError(f"{pattern.name} is no pattern of images.", "Choose one such as frame_%04d.png.")

    def write_carried(self, packet: av.Packet[Any]) -> None:
        """Leave a packet of another track out."""
        if _NO_TRACKS not in self.notes:
            self.notes.append(_NO_TRACKS)

    def write_image(self, pixels: RgbPicture) -> None:
        """Write the next image, UINT8 [height, width, 3 or 4]."""
        number = len(self._files) + 1
        self.write(pixels, self.path.with_name(with_number(self.path.name, number)))


class ImageSequenceWriter:
    """Decodes finished packets and writes each as an image, turned as it is seen: an image cannot say how it is."""

    def __init__(self, output: ImageSequence, video: VideoFormat, codec: str, extradata: bytes) -> None:
        self._output = output
        self._pictures = PictureReader(video, deinterlace=False)
        self._orientation = video.orientation
        self._context = cast(VideoCodecContext, av.CodecContext.create(codec, "r"))
        self._context.extradata = extradata or None

    def write(self, packet: Packet) -> None:
        """Write what a packet shows."""
        self._write(self._context.decode(av.Packet(packet.payload)))

    def finish(self) -> None:
        """Write what is left in the decoder, and say what the images lack of the pictures."""
        self._write(self._context.decode(None))
        self._output.notes += self._pictures.notes

    def _write(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            self._output.write_image(self._orientation.to_shown(self._pictures.to_rgb(frame)))
