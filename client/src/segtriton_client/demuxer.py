"""Reads a file's packets without decoding them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from types import TracebackType
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from segtriton_client.carried import Carried
from segtriton_client.codec_change import OTHER_CODEC, CodecChange
from segtriton_client.display_order import Demuxed, drop_false_pts, leave_pts_absent
from segtriton_client.encryption import check_clear, check_clear_track
from segtriton_client.errors import InputError, damage_error
from segtriton_client.first_picture import FirstPicture
from segtriton_client.frame_rate import DEFAULT_RATE, frame_rate_notes, frame_rate_of
from segtriton_client.keyframe_start import KeyframeStart
from segtriton_client.reencoder import Reencoder, needs_coding
from segtriton_client.sources import Source, damage_of, is_live, open_input
from segtriton_client.timeline import Timeline, reopen, time_of
from segtriton_client.transparency import TRANSPARENCY_NOTE
from segtriton_client.truncation import TruncationCheck
from segtriton_protocol import ColorTags, Framing, Orientation, Packet, VideoFormat
from segtriton_protocol.formats import MAX_FRAME_RATE, MAX_REORDER_FRAMES

_START_CODED = ("h264", "hevc")
_WEBP_FORMAT = "webp_pipe"
_FULL_RANGE = 2
_MOST_HEAD_PACKETS = 64
_FRACTION_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class CarriedPacket:
    """One packet of a track beside the video, as the container gave it."""

    packet: av.Packet[Any]


def pick_video(container: InputContainer, path: Source) -> VideoStream:
    """Return the first video stream of a known codec that is no cover picture; raises InputError."""
    what = "holds no video"
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        check_clear_track(stream, path)
        if stream.codec_context is not None and stream.codec_context.width:
            return stream
        what = "holds a video of an unknown codec or size"
    if container.format.name == _WEBP_FORMAT:
        what = "is an animated WebP, which is not decoded"
    raise InputError(f"{path} {what}.")


class Demuxer:
    """A source's video packets, numbered from 0, and those of its other tracks, in the source's order.

    Attributes:
        format: the video's coding, as OPEN describes it.
        frames: how many frames the container claims, 0 if it does not say.
        carried: what is copied; the packets of its tracks come as `CarriedPacket`.
        notes: what was done to the packets, each one sentence.
        timeline: what was done to their times.
        truncation: whether the source ended before its header says.
    """

    def __init__(self, path: Source, *, duration: float = 0.0, reconnect_seconds: float = 0.0) -> None:
        """Open a source; read at most `duration` seconds of it, 0 for all, and look for it so long when it is lost."""
        self.path = path
        self.notes: list[str] = []
        self._duration = duration
        self._reconnect_seconds = reconnect_seconds
        self._num_lost = 0
        self._first_picture = FirstPicture()
        self.timeline = Timeline()
        self._keyframe_start = KeyframeStart(path)
        self._container = open_input(path)
        try:
            self._video = pick_video(self._container, path)
            self._video.thread_type = "NONE"  # frame threads would read further than the first picture
            self.notes += frame_rate_notes(self._video)
            self._codec_change = CodecChange(self._container, self._video)
            self._reencoder = self._open_reencoder()
            self.frames = self._video.frames or _guess_frames(self._container, self._video)
            self.carried = Carried.of(self._container, self._video)
            self.notes += self.carried.notes
            self._packets = self._number(self._read())
            self._head = self._read_head()
            self.carried = replace(self.carried, picture=self._first_picture.metadata)
            self.notes += self._first_picture.metadata.notes
            if self._first_picture.is_transparent:
                self.notes.append(TRANSPARENCY_NOTE)
            self.format = self._describe()
            self.notes += self._keyframe_start.notes
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

    @property
    def num_other_codec(self) -> int:
        """Packets that were left out, as they are of another codec than the video began with."""
        return self._codec_change.num_left_out

    def raise_if_other_codec(self) -> None:
        """Raise InputError where packets were left out, for a strict run."""
        if self._codec_change.first_left_out is not None:
            raise damage_error(self._codec_change.first_left_out, OTHER_CODEC)

    def __iter__(self) -> Iterator[Packet | CarriedPacket]:
        """Give each packet once; raises InputError where the source is damaged."""
        head, self._head = self._head, []
        return chain(head, self._packets)

    def _open_reencoder(self) -> Reencoder | None:
        if not needs_coding(self._video.codec_context.name):
            return None
        reencoder = Reencoder(self._video, self._first_picture)
        self.notes.append(reencoder.note)
        return reencoder

    def _describe(self) -> VideoFormat:
        source = describe_video(self._video, self.path, self._first_picture)
        return self._reencoder.describe(source) if self._reencoder is not None else source

    def _read_head(self) -> list[Packet | CarriedPacket]:
        """Read to the first picture, which says how all are shown; refuse a video of no frames before any is sent."""
        head: list[Packet | CarriedPacket] = []
        for packet in self._packets:
            head.append(packet)
            if isinstance(packet, Packet) and (self._first_picture.is_known or len(head) >= _MOST_HEAD_PACKETS):
                return head
        if self._reencoder is None:
            self._first_picture.look_at(self._video, None)
        if not any(isinstance(packet, Packet) for packet in head):
            raise InputError(f"{self.path} holds no frames.")
        return head

    def _number(self, packets: Iterator[Demuxed]) -> Generator[Packet | CarriedPacket, None, None]:
        seq = 0
        end: Fraction | None = None
        rate = frame_rate_of(self._video) or DEFAULT_RATE
        for packet, is_video in packets:
            if not is_video:
                yield CarriedPacket(packet)
                continue
            if self._duration:
                found = time_of(packet)
                time = seq / rate if found is None else found  # raw video has no times
                end = time + Fraction(self._duration) if end is None else end
                if time >= end:
                    return
            yield _convert(packet, seq)
            seq += 1

    def _read(self) -> Iterator[Demuxed]:
        """Give all packets with content, of one connection after the other."""
        count = 0
        while True:
            try:
                for packet, is_video in self._read_in_order():
                    yield packet, is_video
                    count += is_video
            except av.error.FFmpegError as error:
                if not count or not (self._reconnect_seconds or is_live(self.path)):
                    raise damage_of(self.path, self._container, count, error) from None
                if not self._reconnect_seconds:
                    self.notes.append(f"The source broke off after frame {count}: {error.strerror}.")
            if not self._reconnect_seconds or not self._reconnect():
                return
            self.timeline.begin_anew()

    def _read_in_order(self) -> Iterator[Demuxed]:
        leave_pts_absent(self._container, self._video)
        packets = self._keyframe_start.skip(self._read_connection())
        return packets if is_live(self.path) else drop_false_pts(packets, self._video)

    def _read_connection(self) -> Iterator[Demuxed]:
        packets = self._container.demux(self._video, *self.carried.tracks)
        self.truncation = TruncationCheck(self._container, self._video, self.carried.tracks)
        for packet in self.truncation.watch(self.timeline.place(packets)):
            if not packet.size:
                continue
            check_clear(packet, self.path)
            if packet.stream_index != self._video.index:
                yield packet, False
            elif self._is_other_codec(packet):
                continue
            elif self._reencoder is not None:
                yield from ((coded, True) for coded in self._reencoder.encode(packet))
            else:
                self._first_picture.look_at(self._video, packet)
                yield packet, True

    def _is_other_codec(self, packet: av.Packet[Any]) -> bool:
        is_other = self._codec_change.is_other(packet)
        if is_other and self._codec_change.note not in self.notes:
            self.notes.append(self._codec_change.note)
        return is_other

    def _reconnect(self) -> bool:
        """Open the source again, and go on with it if it is still the same video."""
        known = describe_video(self._video, self.path)  # while what it is read from is there
        self._container.close()
        container = reopen(self.path, self._reconnect_seconds)
        if container is None:
            return False
        self._container, self._video = container, pick_video(container, self.path)
        found = describe_video(self._video, self.path)
        if (found.codec, found.time_base) != (known.codec, known.time_base):
            raise InputError(f"{self.path} came back as another video.", "Run the command again.")
        if self._reencoder is not None:
            self._reencoder = Reencoder(self._video, self._first_picture)
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


def describe_video(stream: VideoStream, path: Source, first: FirstPicture | None = None) -> VideoFormat:
    """Return the coding of a video as OPEN describes it, and what its first picture says."""
    first = first or FirstPicture()
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
        frame_rate=_bounded(frame_rate_of(stream), MAX_FRAME_RATE),
        sample_aspect=_bounded(stream.sample_aspect_ratio),
        rotation=Orientation.from_matrix(first.display_matrix).rotation,
        color=ColorTags(
            primaries=int(context.color_primaries),
            transfer=int(context.color_trc),
            matrix=int(context.colorspace),
            full_range=int(context.color_range) == _FULL_RANGE,
        ),
        pixel_format=context.format.name if context.format else "",  # `pix_fmt` crashes in PyAV 17 without one
        display_matrix=first.display_matrix,
        hdr=first.metadata.hdr,
        reorder_frames=min(context.reorder_depth, MAX_REORDER_FRAMES),
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
