"""How many frames a second a video has, also where its container has no clock: raw H.264, HEVC, MPEG-2, AV1."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from av.format import Flags
from av.video.stream import VideoStream

DEFAULT_RATE = Fraction(25)
"""What FFmpeg takes for the rate of a video that states none."""

_NO_TIMESTAMPS = cast(int, Flags.no_timestamps.value)


def frame_rate_of(stream: VideoStream) -> Fraction | None:
    """Return a video's frames a second; of a raw one what its codec states, as its average is a default of FFmpeg's."""
    if _is_raw(stream) or _is_coarser_than_the_clock(stream):
        return stream.guessed_rate
    return stream.average_rate


def frame_rate_notes(stream: VideoStream) -> list[str]:
    """Return a sentence if nothing states how many frames a second a video has, or nothing that can be believed."""
    if not _is_raw(stream) or stream.codec_context.framerate == stream.guessed_rate:
        return []
    return [f"The input states no usable frame rate; {stream.guessed_rate} frames a second were assumed."]


def _is_coarser_than_the_clock(stream: VideoStream) -> bool:
    """Whether FFmpeg guessed from the times: of times at irregular ticks it makes the clock's own rate, as 1000."""
    rate, tick = stream.guessed_rate, stream.time_base
    return not stream.average_rate and rate is not None and tick is not None and rate * tick < 1


def _is_raw(stream: VideoStream) -> bool:
    return bool(stream.container.format.flags & _NO_TIMESTAMPS)
