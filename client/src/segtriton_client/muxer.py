"""Writes the output while packets arrive, with the input's own timestamps."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from segtriton_client.carried import (
    Carried,
    check_place,
    check_track,
    codec_of,
    copy_track,
    cover_name,
    describe_track,
    is_cover,
)
from segtriton_client.container_times import start_shift, time_options
from segtriton_client.described_stream import add_described_stream, can_describe
from segtriton_client.errors import OutputError, StoppedError
from segtriton_client.file_kinds import is_stream
from segtriton_client.monotonic_dts import MonotonicDts
from segtriton_client.picture_metadata import PictureMetadata, read_metadata
from segtriton_client.rising_times import RisingTimes
from segtriton_client.sources import METADATA_OPTIONS, STANDARD_STREAM, Destination, scheme_of
from segtriton_client.standard_streams import standard_output
from segtriton_client.system_errors import advice_on_output, reason_of
from segtriton_client.unfinished_file import DeferredWriter, UnfinishedFile
from segtriton_protocol import UPRIGHT, HdrMetadata, Packet, VideoFormat

_CONTAINERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".3gp": "3gp",
    ".mkv": "matroska",
    ".avi": "avi",
    ".webm": "webm",
    ".ts": "mpegts",
}
_STREAM_CONTAINERS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}
# Nothing that is written can be written again, and a player begins with the first fragment.
_FRAGMENTED = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov",
    "frag_duration": "500000",  # microseconds
    "flush_packets": "1",
}
_STREAM_OPTIONS = {**dict.fromkeys(("mp4", "mov", "3gp"), _FRAGMENTED), "rtsp": {"rtsp_transport": "tcp"}}
# What has no place for how a picture is turned, nor for chapters.
_BARE_CONTAINERS = ("mpegts", "avi", "flv", "rtsp")
# What has a place of its own for HDR10's metadata, whatever the pictures say.
_HDR_CONTAINERS = ("mp4", "mov", "matroska")
# Where a reader looks for data, by its codec.
_DATA_ENDINGS = {"bin_data": ".mp4", "klv": ".ts", "timed_id3": ".ts", "smpte_2038": ".ts"}
_INTERRUPTIONS = (asyncio.CancelledError, KeyboardInterrupt, StoppedError)
_START_CODES = (b"\x00\x00\x01", b"\x00\x00\x00\x01")


class OutputFile:
    """An output container under its temporary name; `commit` renames it, leaving without removes it.

    What goes to standard output, a server, a pipe or a device has none. Of an interrupted run the file is kept.

    All methods may be called from any thread.

    Attributes:
        notes: what the container could not take, each one sentence.
    """

    def __init__(self, path: Destination, video: VideoFormat, carried: Carried | None = None) -> None:
        """Open the file for what is carried beside the input's `video`; raises OutputError."""
        self.path = path
        self.notes: list[str] = []
        self._lock = threading.Lock()
        self._is_open = False
        self._is_complete = False
        self._carried = carried or Carried()
        container_format = _format_of(path)
        options = time_options(container_format, video.time_base, self._carried)
        self._file = UnfinishedFile(path) if isinstance(path, Path) else None
        if self._file is None or self._file.is_stream:
            options |= _STREAM_OPTIONS.get(container_format, {})
        self._stream = DeferredWriter(self._file.path) if self._file is not None and self._file.is_stream else None
        try:
            self.container: OutputContainer = av.open(
                self._target(),
                "w",
                container_format,
                container_options=options,
                **METADATA_OPTIONS,
            )
        except (av.error.FFmpegError, OSError) as error:
            self._discard()
            raise self._failure(error) from None
        self._note_losses(container_format, video)
        self._is_open = True
        self._carried.describe(self.container)
        self._copies: dict[int, Stream] = {}
        self._attached: dict[int, Stream] = {}
        self._has_header = False
        self._copied_times: dict[int, MonotonicDts] = {}
        self._is_fragmented = "frag_duration" in options  # FFmpeg then finds no place for the filter by itself
        self._adts_filters: dict[int, BitStreamFilterContext] = {}

    def _target(self) -> Any:
        """Return what PyAV writes to."""
        if self._stream is not None:
            return self._stream
        if self._file is not None:
            return f"file:{self._file.written}"  # its name may have a colon
        return standard_output() if self.path == STANDARD_STREAM else self.path

    def _note_losses(self, container_format: str, video: VideoFormat) -> None:
        if container_format == "avi":
            self.notes.append(
                f"{self.path} stores no times: players count its frames, and may be one late; .mp4 and .mkv keep them."
            )
        if shift := start_shift(container_format, self._carried):
            self.notes.append(
                f"The input begins {float(shift):.3f} s before 0, which players do not show; "
                f"all of {self.path} is so much later."
            )
        if container_format in _BARE_CONTAINERS and video.orientation != UPRIGHT:
            self.notes.append(f"{self.path} cannot say that its pictures are turned; .mp4 and .mkv can.")
        if container_format in _BARE_CONTAINERS and self._carried.chapters:
            self.notes.append(f"{self.path} holds no chapters; .mp4 and .mkv do.")
        if container_format in _BARE_CONTAINERS and self._carried.has_timecode:
            self.notes.append(f"{self.path} holds no timecode; .mp4, .mov and .mkv do.")

    def add_tracks(self, video: Stream) -> None:
        """Add the input's other tracks behind the video's, and what is said of that."""
        self._carried.describe_video(video)
        for track in self._carried.tracks:
            try:
                if is_cover(track) and (self._file is None or self._file.is_stream):
                    raise ValueError("a cover picture is written last, at the file's beginning")
                if is_cover(track) and self.container.format.name == "matroska":
                    check_track(self.container, track)
                    self._attached[track.index] = track
                else:
                    self._copies[track.index] = copied = copy_track(track, self.container)
                    self._copied_times[track.index] = MonotonicDts(copied)
                if self._is_fragmented and _has_adts_headers(track):
                    self._adts_filters[track.index] = BitStreamFilterContext("aac_adtstoasc", in_stream=track)
            except (ValueError, av.error.FFmpegError):
                self._leave_out(track)

    def note_losses(self, made: PictureMetadata) -> None:
        """Say what pictures lack of what the input's say beside their samples."""
        self.notes += self._carried.picture.lost_in(made, self.path)

    @property
    def needs_look(self) -> bool:
        """Whether the input's pictures say anything that an encoder may lose."""
        return self._carried.picture != PictureMetadata()

    def _leave_out(self, track: Stream) -> None:
        what = f"{self.path} cannot hold the input's {describe_track(track)}"
        better = _better_ending(track, self.container.format.name)
        if track.type == "audio" and self.container.format.name != "webm":
            raise OutputError(f"{what}.", f"Choose an output that ends in {better}.")
        advice = f", an output that ends in {better} would keep it" if better else ""
        self.notes.append(f"{what}; it was left out{advice}.")

    def write_carried(self, packet: av.Packet[Any]) -> None:
        """Write an input's packet of another track as it is."""
        cover = self._attached.pop(packet.stream_index, None)
        if cover is not None:
            self._attach(cover, bytes(packet))
            return
        target = self._copies.get(packet.stream_index)
        if target is None:
            return
        if self._copied_times[packet.stream_index].place(packet):
            self._note_once(f"Times of the input's {target.type} went back; they were moved on.")
        adts_filter = self._adts_filters.get(packet.stream_index)
        for copy in [packet] if adts_filter is None else adts_filter.filter(packet):
            copy.stream = target
            self.mux(copy)

    def _attach(self, cover: Stream, payload: bytes) -> None:
        """Put a cover picture into the header, which waits for the first packet that is written."""
        with self._lock:
            if self._has_header:
                self.notes.append(f"{self.path} was begun before the input's {describe_track(cover)}; it was left out.")
            else:
                self.container.add_attachment(*cover_name(cover), payload)

    def mux(self, packet: av.Packet[Any]) -> None:
        """Write one packet; does nothing once the file is closed."""
        with self._lock:
            if not self._is_open:
                return
            self._has_header = True
            due = _time_of(packet)
            try:
                self.container.mux(packet)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise self._failure(error) from None
            if isinstance(packet.stream, VideoStream) and _time_of(packet) != due:
                tick = packet.time_base
                self._note_once(f"{self.path} counts in {tick} s; the frames' times were rounded to that.")

    def commit(self) -> None:
        """Finish the file and give it its name."""
        with self._lock:
            try:
                self._close()
                if self._file is not None:
                    self._file.commit()
            except (av.error.FFmpegError, OSError) as error:
                raise self._failure(error) from None
            self._is_complete = True

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_complete:
            return
        with self._lock:
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                self._close()
            # Whoever interrupts a run may want what there is of it; it plays, as it was finished just now.
            if isinstance(error, _INTERRUPTIONS):
                self._keep(error)
            else:
                self._discard()

    def _keep(self, error: BaseException) -> None:
        if self._file is not None and self._file.keep() and isinstance(error, StoppedError):
            error.add_kept(self._file.written)

    def _discard(self) -> None:
        if self._file is not None:
            self._file.discard()

    def _failure(self, error: Exception) -> OutputError:
        advice = advice_on_output(error)
        if self.path == STANDARD_STREAM:
            advice = "Look at the program that reads it."
        elif self._stream is not None:
            advice = "Look at the device, or at what reads from the pipe."
        elif isinstance(self.path, str):
            advice = "Check the address, and that its server takes what is sent to it."
        return OutputError(f"Cannot write {self.path}: {reason_of(error)}.", advice)

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.container.close()
            if self._stream is not None:
                self._stream.close()


class Muxer:
    """The video track of finished packets, beside copied audio.

    Output frames come in the order of their pts, as the service uses no B-frames, so dts is pts.
    """

    def __init__(
        self, output: OutputFile, video: VideoFormat, *, codec: str, extradata: bytes, size: tuple[int, int]
    ) -> None:
        """Add the track: `video` is the input's, `size` the output's (width, height) in pixels."""
        self._output = output
        self._time_base = video.time_base
        self._times = RisingTimes(video.time_base, video.frame_rate)
        self._codec, self._extradata, self._is_seen = codec, extradata, False
        holds_hdr = codec == "h264" and output.container.format.name in _HDR_CONTAINERS
        self._container_hdr = video.hdr if holds_hdr else HdrMetadata()
        self._pending_extradata = extradata if codec in ("h264", "hevc") else b""
        try:
            check_place(output.container, codec)
            if can_describe(codec):
                self._stream: Stream = add_described_stream(output.container, codec, extradata, size, video)
            else:
                self._stream = output.container.add_mux_stream(
                    codec, rate=video.frame_rate, width=size[0], height=size[1], time_base=video.time_base
                )
        except (ValueError, av.error.FFmpegError):
            raise OutputError(
                f"{output.path} cannot hold {codec} video.", "Choose an output that ends in .mp4 or .mkv."
            ) from None
        output.add_tracks(self._stream)

    def write(self, packet: Packet) -> None:
        """Write one finished packet."""
        self._look_at(packet)
        target: av.Packet[Any] = av.Packet(self._with_extradata(packet.payload))
        shown_at = packet.pts if packet.pts is not None else packet.dts
        target.pts, target.duration = self._times.place(shown_at, packet.duration)
        target.dts = target.pts
        target.time_base = self._time_base
        target.is_keyframe = packet.is_keyframe
        target.stream = self._stream
        self._output.mux(target)

    def finish(self) -> None:
        """Say what was done to the frames' times: every packet has been written."""
        self._output.notes += self._times.notes

    def _look_at(self, packet: Packet) -> None:
        """Decode the first picture that comes back, to say what it lacks."""
        if self._is_seen:
            return
        self._is_seen = True
        if self._output.needs_look:
            made = read_metadata(packet.payload, self._codec, self._extradata)
            self._output.note_losses(replace(made, hdr=self._container_hdr) if self._container_hdr else made)

    def _with_extradata(self, payload: bytes) -> bytes:
        """Put the parameter sets before the first packet: the container takes its header from there."""
        extradata, self._pending_extradata = self._pending_extradata, b""
        if not extradata.startswith(_START_CODES) or payload.startswith(extradata):
            return payload
        return extradata + payload


def _has_adts_headers(track: Stream) -> bool:
    """Tell whether AAC comes as in MPEG-TS, each packet with a header of its own and the track with none."""
    return track.codec_context.name == "aac" and not track.codec_context.extradata


def _time_of(packet: av.Packet[Any]) -> Fraction | None:
    """When a packet is shown, in seconds; what the container has taken is in the container's clock."""
    return None if packet.pts is None else packet.pts * packet.time_base


def _format_of(target: Destination) -> str:
    if target == STANDARD_STREAM:
        return "mp4"
    if isinstance(target, str):
        container_format = _STREAM_CONTAINERS.get(scheme_of(target))
        known = [f"{scheme}://" for scheme in _STREAM_CONTAINERS]
    else:
        container_format, known = _CONTAINERS.get(target.suffix.lower()), list(_CONTAINERS)
        if container_format is None and is_stream(target):
            return "mp4"
    if container_format is None:
        folder = "" if isinstance(target, str) else ", or frame_%04d.png, or a folder, which ends in /"
        raise OutputError(f"{target} is of no known kind.", f"Choose one of {', '.join(known)}{folder}.")
    return container_format


def _better_ending(track: Stream, container_format: str) -> str:
    """Return which output would hold a track, empty where none would."""
    if track.type == "data":
        return _DATA_ENDINGS.get(codec_of(track), "")
    return ".mp4" if container_format == "matroska" else ".mkv"
