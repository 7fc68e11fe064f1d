"""Reads a file's packets without decoding them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from segtriton_client.carried import Carried
from segtriton_client.errors import InputError
from segtriton_protocol import ColorTags, Framing, Packet, VideoFormat

_START_CODED = ("h264", "hevc")
_TEXT_FORMATS = ("tty", "ansi", "bin", "xbin", "idf", "adf")
_TURNING_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_FULL_RANGE = 2
_FRACTION_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class CarriedPacket:
    """One packet of a track beside the video, as the container gave it."""

    packet: av.Packet[Any]


def open_input(path: Path) -> InputContainer:
    """Open a media file; raises InputError."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a video.", "Name a file, or leave out -sv for images.")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty.")
        container = av.open(str(path), "r")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its format is unknown"
        raise InputError(f"Cannot read {path}: {reason}.") from None
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{path} is a text, not a video.")
    return container


def pick_video(container: InputContainer, path: Path) -> VideoStream:
    """Return the first video stream that is no cover picture; raises InputError."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None or not stream.codec_context.width:
            raise InputError(f"{path} holds a video of an unknown codec or size.")
        return stream
    raise InputError(f"{path} holds no video.")


def read_rotation(path: Path) -> int:
    """Return by how many degrees, counter-clockwise, a player turns the pictures; 0 if it cannot be known."""
    with open_input(path) as container:
        stream = pick_video(container, path)
        stream.thread_type = "NONE"  # frame threads would read further than the first picture
        try:
            frame = next(container.decode(stream), None)
        except av.error.FFmpegError:
            return 0
        return frame.rotation if frame is not None else 0


class Demuxer:
    """A file's video packets, numbered from 0, and those of its other tracks, in the file's order.

    Attributes:
        format: the video's coding, as OPEN describes it.
        frames: how many frames the file claims, 0 if it does not say.
        carried: what is copied; the packets of its tracks come as `CarriedPacket`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = open_input(path)
        try:
            self._video = pick_video(self._container, path)
            rotation = read_rotation(path) if self._container.format.name in _TURNING_FORMATS else 0
            self.format = describe_video(self._video, path, rotation)
            self.frames = self._video.frames or _guess_frames(self._container, self._video)
            self.carried = Carried.of(self._container, self._video)
            self._packets = self._read()
            self._head = self._read_head()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Demuxer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._packets.close()
        self._container.close()

    def __iter__(self) -> Iterator[Packet | CarriedPacket]:
        """Give each packet once; raises InputError where the file is damaged."""
        head, self._head = self._head, []
        return chain(head, self._packets)

    def _read_head(self) -> list[Packet | CarriedPacket]:
        """Read up to the first video packet, to refuse a video of no frames before anything is sent."""
        head: list[Packet | CarriedPacket] = []
        for packet in self._packets:
            head.append(packet)
            if isinstance(packet, Packet):
                return head
        raise InputError(f"{self.path} holds no frames.")

    def _read(self) -> Generator[Packet | CarriedPacket, None, None]:
        seq = 0
        try:
            for packet in self._container.demux(self._video, *self.carried.tracks):
                if not packet.size:
                    continue
                if packet.stream_index != self._video.index:
                    yield CarriedPacket(packet)
                    continue
                yield _convert(packet, seq)
                seq += 1
        except av.error.FFmpegError as error:
            raise InputError(f"{self.path} is damaged after frame {seq}: {error.strerror}.") from None


def _convert(packet: av.Packet[Any], seq: int) -> Packet:
    return Packet(
        seq=seq,
        pts=packet.pts,
        dts=packet.dts,
        duration=max(packet.duration or 0, 0),
        is_keyframe=packet.is_keyframe,
        is_hidden=packet.is_discard,
        payload=bytes(packet),
    )


def describe_video(stream: VideoStream, path: Path, rotation: int) -> VideoFormat:
    """Return the coding of a video as OPEN describes it; `rotation` is in degrees counter-clockwise."""
    context = stream.codec_context
    time_base = _bounded(stream.time_base)
    if time_base is None:
        raise InputError(f"{path} has no usable time base.")
    codec = context.codec.canonical_name
    extradata = bytes(context.extradata or b"")
    return VideoFormat(
        codec=codec,
        width=context.width,
        height=context.height,
        time_base=time_base,
        framing=_framing(codec, extradata),
        extradata=extradata,
        frame_rate=_bounded(stream.average_rate),
        sample_aspect=_bounded(stream.sample_aspect_ratio),
        rotation=-rotation % 360,
        color=ColorTags(
            primaries=int(context.color_primaries),
            transfer=int(context.color_trc),
            matrix=int(context.colorspace),
            full_range=int(context.color_range) == _FULL_RANGE,
        ),
        pixel_format=context.pix_fmt or "",
    )


def _framing(codec: str, extradata: bytes) -> Framing:
    if codec in _START_CODED:
        return Framing.LENGTH_PREFIXED if extradata[:1] == b"\x01" else Framing.ANNEX_B
    return Framing.OBU if codec == "av1" else Framing.RAW


def _bounded(value: Fraction | None) -> Fraction | None:
    if value is None or not 0 < value.numerator < _FRACTION_LIMIT or not value.denominator < _FRACTION_LIMIT:
        return None
    return value


def _guess_frames(container: InputContainer, stream: VideoStream) -> int:
    if container.duration is None or not stream.average_rate:
        return 0
    return max(0, round(container.duration / 1_000_000 * stream.average_rate))
