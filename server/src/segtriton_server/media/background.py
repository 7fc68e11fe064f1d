"""What stands behind the subject: decoded once, and shown again and again by the time of the pictures before it."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

from segtriton_protocol import Background, ErrorCode, SegtritonError, VideoFormat
from segtriton_server.frames import Picture, Pictures
from segtriton_server.media.decoder import Decoder
from segtriton_server.media.libav_decoder import LibavDecoder

# What libavcodec adds to the sides of a picture at most when it takes its memory, and counts.
_ALIGNMENT = 128


class BackgroundLoop:
    """When each picture of a background is shown.

    Attributes:
        pictures: in the order in which they are shown.
    """

    def __init__(self, pictures: Sequence[Pictures], times: Sequence[tuple[int, int]], time_base: Fraction) -> None:
        """Take the pictures, and the pts and duration of each in units of `time_base`."""
        order = sorted(range(len(pictures)), key=lambda position: times[position][0])
        self.pictures = [pictures[position] for position in order]
        self._begin = times[order[0]][0]
        self._starts = [times[position][0] - self._begin for position in order]
        self._length = max(pts + duration for pts, duration in times) - self._begin
        self._time_base = time_base

    def position_at(self, seconds: Fraction) -> int:
        """The position in `pictures` of what is shown at a time, counted from the loop's first beginning."""
        if self._length <= 0:
            return 0
        return bisect_right(self._starts, seconds / self._time_base % self._length) - 1


def open_background(video: VideoFormat, pixel_format: str) -> LibavDecoder:
    """Open a decoder for the pictures of a background, in the pixel format of what they stand behind.

    Raises:
        SegtritonError: UNSUPPORTED_FORMAT.
        MemoryError: there is no room for its pictures.
    """
    max_pixels = (video.width + _ALIGNMENT) * (video.height + _ALIGNMENT)
    return LibavDecoder(video, 1, max_pixels, pixel_format, low_delay=False, deinterlace=False)


def decode_background(background: Background, decoder: Decoder, max_seconds: float) -> BackgroundLoop:
    """Decode a background to pictures that hold no buffer of the decoder's, which gives them singly; and close it.

    Raises:
        SegtritonError: UNSUPPORTED_FORMAT if it does not decode as a whole, LIMIT_EXCEEDED if that takes longer than
            `max_seconds`.
        MemoryError: there is no room for its pictures.
    """
    rows = background.block.rows
    deadline = time.monotonic() + max_seconds
    pictures: dict[int, Pictures] = {}
    packets = [replace(packet, seq=seq) for seq, packet in enumerate(background.block.unpack())]
    with closing(decoder):
        for packet in (*packets, None):
            decoded = decoder.flush() if packet is None else decoder.decode([packet])
            for group in decoded.groups:
                (seq,) = group.seqs
                pictures[seq] = _kept(group.pictures)
            if decoded.damaged:
                raise SegtritonError(ErrorCode.UNSUPPORTED_FORMAT, "A packet of the background does not decode.")
            if time.monotonic() > deadline:
                raise SegtritonError(ErrorCode.LIMIT_EXCEEDED, f"The background takes longer than {max_seconds:g} s.")
    if not pictures or not pictures.keys() <= set(range(len(rows))):
        raise SegtritonError(ErrorCode.UNSUPPORTED_FORMAT, "The background has no picture, or one of no packet.")
    times = [(rows[seq][2], rows[seq][4]) for seq in pictures]
    return BackgroundLoop(list(pictures.values()), times, background.video.time_base)


def _kept(pictures: Pictures) -> Pictures:
    """Pictures that hold no decoder's buffer, which is larger; on a GPU they never do."""
    if isinstance(pictures, Picture):
        return replace(pictures, planes=tuple(plane.copy() for plane in pictures.planes), captioned=None)
    return pictures
