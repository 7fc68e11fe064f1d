"""Reads a file's packets without decoding them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from types import TracebackType
from typing import Any, TypeAlias

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from segtriton_client.carried import Carried
from segtriton_client.encryption import check_clear, check_clear_track
from segtriton_client.errors import InputError
from segtriton_client.reencoder import Reencoder, needs_coding
from segtriton_client.sources import Source, damage_of, is_live, open_input
from segtriton_client.timeline import Timeline, reopen, time_of
from segtriton_protocol import ColorTags, Framing, Packet, VideoFormat
from segtriton_protocol.formats import MAX_FRAME_RATE

_START_CODED = ("h264", "hevc")
_TURNING_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_FULL_RANGE = 2
_MOST_HEAD_PACKETS = 64
_FRACTION_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class CarriedPacket:
    """One packet of a track beside the video, as the container gave it."""

    packet: av.Packet[Any]


def pick_video(container: InputContainer, path: Source) -> VideoStream:
    """Return the first video stream that is no cover picture; raises InputError."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        check_clear_track(stream, path)
        if stream.codec_context is None or not stream.codec_context.width:
            raise InputError(f"{path} holds a video of an unknown codec or size.")
        return stream
    raise InputError(f"{path} holds no video.")


def read_rotation(path: Source) -> int:
    """Return by how many degrees, counter-clockwise, a player turns the pictures; 0 if it cannot be known."""
    with open_input(path) as container:
        stream = pick_video(container, path)
        stream.thread_type = "NONE"  # frame threads would read further than the first picture
        try:
            frame = next(container.decode(stream), None)
        except av.error.FFmpegError:
            return 0
        return frame.rotation if frame is not None else 0


# A packet, and whether it is the video's.
_Found: TypeAlias = "tuple[av.Packet[Any], bool]"


class Demuxer:
    """A source's video packets, numbered from 0, and those of its other tracks, in the source's order.

    Attributes:
        format: the video's coding, as OPEN describes it.
        frames: how many frames the container claims, 0 if it does not say.
        carried: what is copied; the packets of its tracks come as `CarriedPacket`.
        notes: what was done to the packets, each one sentence.
    """

    def __init__(self, path: Source, *, duration: float = 0.0, reconnect_seconds: float = 0.0) -> None:
        """Open a source; read at most `duration` seconds of it, 0 for all, and look for it so long when it is lost."""
        self.path = path
        self.notes: list[str] = []
        self._duration = duration
        self._reconnect_seconds = reconnect_seconds
        self._num_lost = 0
        self._rotation: int | None = None
        self._container = open_input(path)
        try:
            self._video = pick_video(self._container, path)
            self._video.thread_type = "NONE"  # frame threads would read further than the first picture
            if self._container.format.name not in _TURNING_FORMATS:
                self._rotation = 0
            self._reencoder = self._open_reencoder()
            self.frames = self._video.frames or _guess_frames(self._container, self._video)
            self.carried = Carried.of(self._container, self._video)
            self._packets = self._number(self._read())
            self._head = self._read_head()
            self.format = self._describe()
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
        """Give each packet once; raises InputError where the source is damaged."""
        head, self._head = self._head, []
        return chain(head, self._packets)

    def _open_reencoder(self) -> Reencoder | None:
        if not needs_coding(self._video.codec_context.name):
            return None
        reencoder = Reencoder(self._video)
        self.notes.append(reencoder.note)
        return reencoder

    def _describe(self) -> VideoFormat:
        source = describe_video(self._video, self.path, self._rotation or 0)
        return self._reencoder.describe(source) if self._reencoder is not None else source

    def _read_head(self) -> list[Packet | CarriedPacket]:
        """Read to the first picture, which says how it is turned; refuse a video of no frames before all is sent."""
        head: list[Packet | CarriedPacket] = []
        for packet in self._packets:
            head.append(packet)
            if isinstance(packet, Packet) and (self._rotation is not None or len(head) >= _MOST_HEAD_PACKETS):
                return head
        if not any(isinstance(packet, Packet) for packet in head):
            raise InputError(f"{self.path} holds no frames.")
        return head

    def _number(self, packets: Iterator[_Found]) -> Generator[Packet | CarriedPacket, None, None]:
        seq = 0
        end: Fraction | None = None
        for packet, is_video in packets:
            if not is_video:
                yield CarriedPacket(packet)
                continue
            time = time_of(packet)
            if self._duration and time is not None:
                end = time + Fraction(self._duration) if end is None else end
                if time >= end:
                    return
            yield _convert(packet, seq)
            seq += 1

    def _read(self) -> Iterator[_Found]:
        """Give all packets with content, of one connection after the other."""
        timeline = Timeline()
        count = 0
        while True:
            try:
                for packet, is_video in self._read_connection():
                    if timeline.place(packet, is_video=is_video):
                        yield packet, is_video
                        count += is_video
            except av.error.FFmpegError as error:
                if not count or not (self._reconnect_seconds or is_live(self.path)):
                    raise damage_of(self.path, self._container, count, error) from None
                if not self._reconnect_seconds:
                    self.notes.append(f"The source broke off after frame {count}: {error.strerror}.")
            if not self._reconnect_seconds or not self._reconnect():
                return
            timeline.begin_anew()

    def _read_connection(self) -> Iterator[_Found]:
        for packet in self._container.demux(self._video, *self.carried.tracks):
            if not packet.size:
                continue
            check_clear(packet, self.path)
            if packet.stream_index != self._video.index:
                yield packet, False
            elif self._reencoder is not None:
                yield from ((coded, True) for coded in self._reencoder.encode(packet))
            else:
                self._look_at(packet)
                yield packet, True

    def _look_at(self, packet: av.Packet[Any]) -> None:
        """Decode until the first picture says how a player turns it."""
        if self._rotation is None:
            try:
                self._rotation = next((frame.rotation for frame in packet.decode()), None)
            except av.error.FFmpegError:
                self._rotation = 0

    def _reconnect(self) -> bool:
        """Open the source again, and go on with it if it is still the same video."""
        known = describe_video(self._video, self.path, 0)  # while what it is read from is there
        self._container.close()
        container = reopen(self.path, self._reconnect_seconds)
        if container is None:
            return False
        self._container, self._video = container, pick_video(container, self.path)
        found = describe_video(self._video, self.path, 0)
        if (found.codec, found.time_base) != (known.codec, known.time_base):
            raise InputError(f"{self.path} came back as another video.", "Run the command again.")
        if self._reencoder is not None:
            self._reencoder = Reencoder(self._video)
        self.carried.tracks[:] = Carried.of(container, self._video).tracks
        self._num_lost += 1
        self.notes = [note for note in self.notes if "was lost" not in note]
        self.notes.append(f"The source was lost and found again, {self._num_lost} times.")
        return True


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


def describe_video(stream: VideoStream, path: Source, rotation: int) -> VideoFormat:
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
        frame_rate=_bounded(stream.average_rate, MAX_FRAME_RATE),
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


def _bounded(value: Fraction | None, high: int = _FRACTION_LIMIT) -> Fraction | None:
    if value is None or not 0 < value <= high or not max(value.numerator, value.denominator) < _FRACTION_LIMIT:
        return None
    return value


def _guess_frames(container: InputContainer, stream: VideoStream) -> int:
    if container.duration is None or not stream.average_rate:
        return 0
    return max(0, round(container.duration / 1_000_000 * stream.average_rate))
