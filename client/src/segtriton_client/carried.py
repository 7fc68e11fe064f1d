"""What goes from the input to the output as it is: every other track, chapters and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Disposition, Stream

from segtriton_client.picture_metadata import PictureMetadata
from segtriton_client.transparency import TRANSPARENCY_NOTE, has_alpha_layer

# They describe the file that they stand in, not what it shows.
_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "creation_time"}
_OF_THE_TRACK = _OF_THE_FILE | {"handler_name", "vendor_id", "number_of_frames", "number_of_bytes", "bps"}
_NAMED = ("data", "attachment")
_TIMECODE = "timecode"
_NOT_IN_MOV = ("flac", "opus")
_MPEGTS_CODECS = frozenset(
    ("h264", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m", "dvb_subtitle")
)
# Data that FFmpeg writes so that it is found again.
_GOPRO = "bin_data"  # in MP4, where it is what has the tag gpmd
_DATA_CODECS = {"mp4": (_GOPRO,), "mpegts": ("klv", "timed_id3", "smpte_2038")}
# Matroska's are attachments, see `cover_name`.
_COVER_CODECS = {"mp4": ("mjpeg", "png", "bmp"), "matroska": ("mjpeg", "png", "bmp", "gif", "webp")}
_COVER_NAMES = {"mjpeg": ("cover.jpg", "image/jpeg")}


@dataclass(frozen=True)
class Carried:
    """The tracks beside the video, and what is written in the header.

    Attributes:
        tracks: all whose packets can be copied; whether an output has a place for them is its own matter.
        notes: what no output can hold, each one sentence.
        picture: what the first picture says beside its samples.
        start: when the first track begins, the video's included, in seconds; sound that players leave out not counted.
    """

    tracks: list[Stream] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    video_disposition: Disposition = field(default_factory=lambda: Disposition(0))
    chapters: list[Any] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    picture: PictureMetadata = field(default_factory=PictureMetadata)
    start: Fraction = Fraction(0)

    @classmethod
    def of(cls, container: InputContainer, video: Stream) -> Carried:
        """Read what a file holds beside its video."""
        others = [track for track in container.streams if track.index != video.index and not _is_of_the_header(track)]
        return cls(
            [track for track in others if _can_be_copied(track)],
            keep_metadata(container.metadata, _OF_THE_FILE),
            _timecode_of(container) | keep_metadata(video.metadata, _OF_THE_TRACK),
            video.disposition,
            container.chapters(),
            _note_losses(video, [track for track in others if not _can_be_copied(track)]),
            start=min(_start_of(track) for track in (video, *others) if _has_clock(track)),
        )

    @property
    def clocks(self) -> list[Stream]:
        """The tracks whose times matter."""
        return [track for track in self.tracks if _has_clock(track)]

    @property
    def has_timecode(self) -> bool:
        """Whether the first picture has a timecode."""
        return any(key.lower() == _TIMECODE for key in self.video_metadata)

    def describe(self, container: OutputContainer) -> None:
        """Write metadata and chapters into the header."""
        container.metadata.update(self.metadata)
        if self.chapters:
            container.set_chapters(self.chapters)

    def describe_video(self, video: Stream) -> None:
        """Write metadata and disposition into the header of the video's track."""
        video.metadata.update(self.video_metadata)
        video.disposition = self.video_disposition


def _has_clock(track: Stream) -> bool:
    return track.type != "attachment" and not is_cover(track)


def is_cover(track: Stream) -> bool:
    """Tell whether a track is a cover picture: one packet, before all others."""
    return track.disposition == Disposition.attached_pic


def cover_name(track: Stream) -> tuple[str, str]:
    """Return file name and MIME type of a cover picture, as an attachment has them."""
    codec = codec_of(track)
    name, mime_type = _COVER_NAMES.get(codec, (f"cover.{codec}", f"image/{codec}"))
    return track.metadata.get("filename", name), track.metadata.get("mimetype", mime_type)


def codec_of(track: Stream) -> str:
    """Return FFmpeg's name of a track's codec, empty where FFmpeg knows none."""
    context: Any = track.codec_context  # None where FFmpeg has no decoder
    if context is not None:
        return str(context.codec.canonical_name)
    if track.type != "data" or (track.name == _GOPRO and not track.container.format.name.startswith("mov")):
        return ""
    return track.name or ""


def _start_of(track: Stream) -> Fraction:
    return (track.start_time or 0) * (track.time_base or Fraction(0))


def copy_track(track: Stream, container: OutputContainer) -> Stream:
    """Add a track like one of the input; raises ValueError where the container cannot hold it."""
    check_track(container, track)
    target = container.add_stream_from_template(track, opaque=True)
    if track.type != "attachment":
        target.metadata.clear()
        target.metadata.update(keep_metadata(track.metadata, _OF_THE_TRACK))
    target.disposition = track.disposition
    return target


def check_track(container: OutputContainer, track: Stream) -> None:
    """Raise ValueError for a track that FFmpeg refuses only later, or puts where no reader finds it."""
    kind, codec = container.format.name, codec_of(track)
    if track.type == "attachment":
        has_place = kind == "matroska"
    elif track.type == "data":
        has_place = codec in _DATA_CODECS.get(kind, ())
    elif is_cover(track):
        has_place = codec in _COVER_CODECS.get(kind, ())
    else:
        has_place = True
        check_place(container, codec)
    if not has_place:
        raise ValueError(f"no place for {track.type} in {kind}")


def check_place(container: OutputContainer, codec: str) -> None:
    """Raise ValueError for a codec that FFmpeg refuses only later, or puts where no reader finds it."""
    kind = container.format.name
    if (kind == "mpegts" and codec not in _MPEGTS_CODECS) or (kind == "mov" and codec in _NOT_IN_MOV):
        raise ValueError(f"no place for {codec} in {kind}")


def keep_metadata(metadata: dict[str, str], left_out: set[str] = _OF_THE_TRACK) -> dict[str, str]:
    """Return the metadata that describes what a file shows."""
    return {key: value for key, value in metadata.items() if key.lower().split("-")[0] not in left_out}


def describe_track(track: Stream) -> str:
    """Name a track by its codec, what it is, and its number in the file, as FFmpeg counts."""
    kind = "cover picture" if is_cover(track) else track.type
    context: Any = track.codec_context
    codec = context.name if context is not None else track.name if track.type in _NAMED else ""
    return f"{codec or 'unknown'} {kind} (track {track.index})"


def _is_of_the_header(track: Stream) -> bool:
    """Whether an output has a track's content from the header: chapters' titles, the timecode."""
    return track.type == "data" and (track.discard == Discard.all or _TIMECODE in track.metadata)


def _timecode_of(container: InputContainer) -> dict[str, str]:
    found = [track.metadata[_TIMECODE] for track in container.streams.data if _TIMECODE in track.metadata]
    return {_TIMECODE: found[0]} if found else {}


def _can_be_copied(track: Stream) -> bool:
    if track.type == "video":
        return is_cover(track) and bool(codec_of(track))
    return track.type == "attachment" or bool(codec_of(track))


def _note_losses(video: Stream, lost: list[Stream]) -> tuple[str, ...]:
    videos = [track for track in lost if track.type == "video"]
    others = [track for track in lost if track.type != "video"]
    notes = [TRANSPARENCY_NOTE] if has_alpha_layer(video) else []
    if videos:
        count, names = len(videos) + 1, ", ".join(map(describe_track, videos))
        notes.append(f"The input holds {count} videos; the {describe_track(video)} was taken, left out: {names}.")
    if others:
        notes.append(f"The input's {', '.join(map(describe_track, others))} cannot be copied; left out.")
    return tuple(notes)


def copy_packet(packet: av.Packet[Any]) -> av.Packet[Any]:
    """Return a packet that can go into another file: muxing one changes it."""
    twin: av.Packet[Any] = av.Packet(bytes(packet))
    twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
    twin.time_base, twin.is_keyframe, twin.stream = packet.time_base, packet.is_keyframe, packet.stream
    return twin
