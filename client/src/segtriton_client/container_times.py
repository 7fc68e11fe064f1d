"""What containers are told so that timestamps stay what they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from av.audio.stream import AudioStream
from av.stream import Stream

from segtriton_client.carried import Carried

_TIMESCALE_LIMIT = 2**31


def time_options(container_format: str, time_base: Fraction, carried: Carried) -> dict[str, str]:
    """Return FFmpeg's options for a container that holds a video, in its `time_base`, and what is carried."""
    options = {}
    if container_format in ("mp4", "mov", "3gp"):
        options["movie_timescale"] = str(movie_timescale(time_base.denominator, map(_rate_in_mp4, carried.clocks)))
    else:
        options["avoid_negative_ts"] = "disabled"
    if shift := start_shift(container_format, carried):
        options["output_ts_offset"] = f"{math.ceil(shift * 1_000_000)}us"
    return options


def start_shift(container_format: str, carried: Carried) -> Fraction:
    """Return by how many seconds all tracks are moved: none begins before 0, where players show nothing."""
    has_times_below_0 = container_format == "mpegts"
    return Fraction(0) if has_times_below_0 else max(-carried.start, Fraction(0))


def movie_timescale(video_rate: int, other_rates: Iterable[int]) -> int:
    """Return the ticks a second of an MP4's edit lists, which hold when each track begins.

    All tracks' clocks fit into it where FFmpeg's limit lets them. If not, its tick is so short that rounding to it,
    and from it to a track's own clock, gives the same time again.
    """
    scale, is_exact = video_rate, True
    for rate in other_rates:
        common = math.lcm(scale, rate)
        fits = common < _TIMESCALE_LIMIT
        scale, is_exact = (common if fits else scale), is_exact and fits
    return scale if is_exact else scale * max(1, (_TIMESCALE_LIMIT - 1) // scale)


def _rate_in_mp4(track: Stream) -> int:
    """Return how many ticks a second a track has in an MP4."""
    if isinstance(track, AudioStream):
        return track.sample_rate or 1
    return track.time_base.denominator if track.time_base else 1
