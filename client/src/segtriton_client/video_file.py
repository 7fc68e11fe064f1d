"""A video as decoded pictures in, and as an encoded file out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from segtriton_client.carried import Carried
from segtriton_client.codec_change import OTHER_CODEC, CodecChange
from segtriton_client.demuxer import describe_video, pick_video
from segtriton_client.display_order import Demuxed, DisplayTimes, drop_false_pts, leave_pts_absent
from segtriton_client.empty_packets import EmptyPackets
from segtriton_client.encryption import check_clear
from segtriton_client.errors import MENDED, InputError, damage_error
from segtriton_client.first_picture import read_first_picture
from segtriton_client.frame_rate import frame_rate_notes
from segtriton_client.keyframe_start import KeyframeStart
from segtriton_client.local_encoder import LocalEncoder
from segtriton_client.muxer import OutputFile
from segtriton_client.pictures import PictureReader
from segtriton_client.sources import Destination, Source, damage_of, open_input
from segtriton_client.system_errors import writing
from segtriton_client.timeline import Timeline
from segtriton_client.transparency import TRANSPARENCY_NOTE
from segtriton_client.truncation import TruncationCheck
from segtriton_protocol import DropReason

Place = tuple[int | None, int]


class VideoFile:
    """Decodes the input's video here, copies its other tracks, and encodes the result here.

    Attributes:
        frames: how many frames the container claims, 0 if it does not say.
        pixel_format: FFmpeg's name of what is encoded.
        damaged: why, by the packet's number, of frames that were mended or lost.
    """

    encoder = "libx264"
    codec = "h264"

    def __init__(
        self, input_path: Source, output_path: Destination, *, deinterlace: bool = True, strict: bool = False
    ) -> None:
        self.damaged: dict[int, str] = {}
        self._path = input_path
        self._is_strict = strict
        self._seq_by_pts: dict[int | None, int] = {}
        self._timeline = Timeline()
        self._times = DisplayTimes()
        self._keyframe_start = KeyframeStart(input_path)
        self._container = open_input(input_path)
        try:
            self._video = pick_video(self._container, input_path)
            self._video.thread_type = "AUTO"
            self._codec_change = CodecChange(self._container, self._video)
            self._empty_packets = EmptyPackets(self._video)
            self.frames = self._video.frames
            first = read_first_picture(input_path, self._video.index)
            self._is_transparent = first.is_transparent
            self._carried = replace(Carried.of(self._container, self._video), picture=first.metadata)
            self._truncation = TruncationCheck(self._container, self._video, self._carried.tracks)
            self._format = describe_video(self._video, input_path, first)
            is_even = self._format.width % 2 == 0 and self._format.height % 2 == 0
            self.pixel_format = "yuv420p" if is_even else "yuv444p"  # odd sizes need full chroma
            self._pictures = PictureReader(self._format, deinterlace=deinterlace, becomes=self.pixel_format)
            self._output = OutputFile(output_path, self._format, self._carried)
        except BaseException:
            self._container.close()
            raise
        try:
            size = self._format.width, self._format.height
            self._encoder = LocalEncoder(self._output, self._format, size, pixel_format=self.pixel_format)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._output.__exit__(kind, error, trace)
        self._container.close()

    def read(self) -> Iterator[tuple[NDArray[np.uint8], Place]]:
        """Give each picture, as it is seen, with its pts and duration; what is copied goes straight to the output."""
        count = seq = 0
        try:
            for packet, is_video in self._read_packets():
                check_clear(packet, self._path)
                if not is_video:
                    if packet.size:
                        self._output.write_carried(packet)
                    continue
                if self._codec_change.is_other(packet):
                    self.damaged[seq] = OTHER_CODEC
                    self._pictures.notes[self._codec_change.note] = None
                    seq += 1
                    continue
                if self._empty_packets.is_empty(packet):
                    continue
                self._seq_by_pts[packet.pts] = seq
                self._times.expect(packet.pts, packet.dts)
                for frame in self._decode(packet, seq):
                    count += 1
                    shown = self._format.orientation.to_shown(self._pictures.to_rgb(frame))
                    yield shown, (self._times.place(frame.pts), frame.duration or 0)
                seq += 1
        except av.error.FFmpegError as error:
            raise damage_of(self._path, self._container, count, error) from None
        if not count:
            raise InputError(f"{self._path} holds no frames.")
        if self._is_strict:
            self._truncation.raise_if_truncated()

    def _read_packets(self) -> Iterator[Demuxed]:
        leave_pts_absent(self._container, self._video)
        demuxed = self._container.demux(self._video, *self._carried.tracks)
        packets = self._truncation.watch(self._timeline.place(demuxed))
        # The empty packet at the end has no index of its own.
        found = ((packet, packet.stream.index == self._video.index) for packet in packets)
        return drop_false_pts(self._keyframe_start.skip(found), self._video)

    def write(self, rgb: NDArray[np.uint8], place: Place) -> None:
        """Encode one picture, given as it is seen, with its pts and duration."""
        stored = self._format.orientation.to_stored(rgb)
        self._encoder.encode(self._pictures.to_yuv(stored, self.pixel_format), *place)

    def finish(self) -> None:
        """Encode what is left."""
        with writing(self._output.path):
            self._encoder.finish()

    def commit(self) -> None:
        """Give the file its name."""
        self._output.commit()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed about the pictures or left out, each one sentence."""
        seen = (TRANSPARENCY_NOTE,) if self._is_transparent else ()
        times = (*frame_rate_notes(self._video), *self._timeline.notes, *self._truncation.notes)
        beside = (*self._carried.notes, *self._carried.picture.notes)
        begun = self._keyframe_start.notes
        return (*begun, *seen, *times, *beside, *self._pictures.notes, *self._output.notes)

    @property
    def is_truncated(self) -> bool:
        """Whether the input ended before its header says."""
        return bool(self._truncation.notes)

    def _decode(self, packet: av.Packet[Any], seq: int) -> list[av.VideoFrame]:
        """Decode a packet, or, with the empty one, what is left."""
        try:
            decoded: list[av.VideoFrame] = packet.decode()
        except av.error.FFmpegError:
            decoded, self.damaged[seq] = [], DropReason.DAMAGED.value
            self._times.forget(packet.pts, packet.dts)
        for frame in decoded:
            if frame.is_corrupt:
                self.damaged[self._seq_by_pts.get(frame.pts, seq)] = MENDED
        if self._is_strict and self.damaged:
            raise damage_error(*next(iter(self.damaged.items())))
        frames = [whole for frame in decoded for whole in self._pictures.make_whole(frame)]
        return frames if packet.size else frames + self._pictures.flush()
