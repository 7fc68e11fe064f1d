"""Whether a file ends before its own header says: a copy that broke off, a disk that was full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from segtriton_client.errors import InputError

_INDEXED_FORMAT = "mov,mp4,m4a,3gp,3g2,mj2"
_FRAME_COUNT_FORMAT = "avi"  # whose duration libavformat takes from the size of what is left
_DURATION_FORMATS = ("matroska,webm", "flv")
_TIMED_TRACKS = ("video", "audio", "subtitle", "data")
_MICROSECONDS = 1_000_000
# Headers are rounded and count tracks that are not read: what lacks no more is complete.
_TOLERANCE_SECONDS, _TOLERANCE_SHARE = Fraction(1), Fraction(1, 50)

_Packet: TypeAlias = "av.Packet[Any]"


class TruncationCheck:
    """Counts what is read of a file, and compares it at the end with what the file declares.

    Attributes:
        notes: what is missing, one sentence if anything is.
    """

    def __init__(self, container: InputContainer, video: VideoStream, others: Sequence[Stream] = ()) -> None:
        """Take the tracks that are read: a duration is that of all tracks."""
        self.notes: list[str] = []
        self._container = container
        self._video = video
        self._video_index = video.index
        self._is_indexed = container.format.name == _INDEXED_FORMAT
        is_all_read = {stream.index for stream in container.streams if _is_timed(stream)} <= {
            stream.index for stream in (video, *others)
        }
        self._declared_seconds = _declared_seconds(container, video) if is_all_read else Fraction(0)
        self._num_read = 0
        self._ends: dict[int, int] = {}

    def watch(self, packets: Iterable[_Packet]) -> Iterator[_Packet]:
        """Give all packets of a file as they are."""
        for packet in packets:
            self._num_read += packet.size > 0 and packet.stream_index == self._video_index
            index, stamp = packet.stream_index, packet.dts if packet.pts is None else packet.pts
            if stamp is not None:
                self._ends[index] = max(self._ends.get(index, 0), stamp + (packet.duration or 0))
            yield packet
        self._compare()

    def raise_if_truncated(self) -> None:
        """Raise InputError where something is missing."""
        for note in self.notes:
            raise InputError(note, "Leave --strict out to keep what is there.")

    def _compare(self) -> None:
        num_listed = sum(entry.size > 0 for entry in self._video.index_entries) if self._is_indexed else 0
        if self._num_read < num_listed:
            self.notes.append(f"The input is cut off: its index lists {num_listed} frames, {self._num_read} are there.")
        streams = self._container.streams
        ends = [ticks * (streams[index].time_base or Fraction(0)) for index, ticks in self._ends.items()]
        missing = self._declared_seconds - max(ends, default=Fraction(0))
        if missing > max(_TOLERANCE_SECONDS, _TOLERANCE_SHARE * self._declared_seconds):
            declared, end = float(self._declared_seconds), float(self._declared_seconds - missing)
            self.notes.append(f"The input is cut off: its header says {declared:.1f} s, it ends after {end:.1f} s.")


def _is_timed(stream: Stream) -> bool:
    """Whether a track goes on in time, which attachments and cover pictures do not."""
    return stream.type in _TIMED_TRACKS and not stream.disposition & Disposition.attached_pic


def _declared_seconds(container: InputContainer, video: VideoStream) -> Fraction:
    """Return when a container's header says that it ends, 0 where that would be a guess of libavformat's."""
    if container.format.name in _DURATION_FORMATS:
        return Fraction(container.duration or 0, _MICROSECONDS)
    if container.format.name == _FRAME_COUNT_FORMAT and video.time_base:
        return video.frames * video.time_base
    return Fraction(0)
