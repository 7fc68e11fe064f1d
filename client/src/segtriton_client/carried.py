"""What goes from the input to the output as it is: sound, subtitles, chapters and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from av.container import InputContainer, OutputContainer
from av.stream import Stream

# They describe the file that they stand in, not what it shows.
_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "creation_time"}
_OF_THE_TRACK = _OF_THE_FILE | {"handler_name", "vendor_id", "number_of_frames", "number_of_bytes", "bps"}
_NOT_IN_MOV = ("flac", "opus")
_MPEGTS_CODECS = frozenset(
    ("h264", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m", "dvb_subtitle")
)


@dataclass(frozen=True)
class Carried:
    """The tracks beside the video, and what is written in the header.

    Attributes:
        tracks: audio and subtitles, whose packets are copied.
        start: when the first track begins, the video's included, in seconds; sound that players leave out not counted.
    """

    tracks: list[Stream] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    chapters: list[Any] = field(default_factory=list)
    start: Fraction = Fraction(0)

    @classmethod
    def of(cls, container: InputContainer, video: Stream) -> Carried:
        """Read what a file holds beside its video."""
        tracks = [*container.streams.audio, *container.streams.subtitles]
        return cls(
            [track for track in tracks if track.codec_context is not None],
            keep_metadata(container.metadata, _OF_THE_FILE),
            keep_metadata(video.metadata, _OF_THE_TRACK),
            container.chapters(),
            min((_start_of(track) for track in (video, *tracks)), default=Fraction(0)),
        )

    def describe(self, container: OutputContainer) -> None:
        """Write metadata and chapters into the header."""
        container.metadata.update(self.metadata)
        if self.chapters:
            container.set_chapters(self.chapters)


def _start_of(track: Stream) -> Fraction:
    return (track.start_time or 0) * (track.time_base or Fraction(0))


def copy_track(track: Stream, container: OutputContainer) -> Stream:
    """Add a track like one of the input; raises ValueError where the container cannot hold it."""
    check_place(container, track.codec_context.codec.canonical_name)
    target = container.add_stream_from_template(track, opaque=True)
    target.metadata.update(keep_metadata(track.metadata, _OF_THE_TRACK))
    target.disposition = track.disposition
    return target


def check_place(container: OutputContainer, codec: str) -> None:
    """Raise ValueError for a codec that FFmpeg refuses only later, or puts where no reader finds it."""
    kind = container.format.name
    if (kind == "mpegts" and codec not in _MPEGTS_CODECS) or (kind == "mov" and codec in _NOT_IN_MOV):
        raise ValueError(f"no place for {codec} in {kind}")


def keep_metadata(metadata: dict[str, str], left_out: set[str] = _OF_THE_TRACK) -> dict[str, str]:
    """Return the metadata that describes what a file shows."""
    return {key: value for key, value in metadata.items() if key.lower().split("-")[0] not in left_out}
