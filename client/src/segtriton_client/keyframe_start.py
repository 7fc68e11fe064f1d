"""Where decoding can begin: at the first keyframe, or at a recovery point, which FFmpeg's demuxers mark as one."""

from __future__ import annotations

from collections.abc import Iterator

from segtriton_client.display_order import Demuxed
from segtriton_client.errors import InputError
from segtriton_client.sources import Source, is_live

# A camera that sends no keyframe for so long would be waited for without an end.
_MAX_LIVE_PACKETS = 3000


class KeyframeStart:
    """Leaves out a video's packets before its first keyframe; other tracks begin where they begin."""

    def __init__(self, path: Source) -> None:
        """Begin with nothing skipped."""
        self._path = path
        self._num_skipped = 0
        self._has_begun = False

    @property
    def notes(self) -> list[str]:
        """How many packets were skipped, in one sentence; empty if none."""
        if not self._num_skipped:
            return []
        return [f"The source begins between keyframes: {self._num_skipped} packets before the first were skipped."]

    def skip(self, packets: Iterator[Demuxed]) -> Iterator[Demuxed]:
        """Give packets; raises InputError for a video that never has a keyframe."""
        for packet, is_video in packets:
            if is_video and packet.size and not self._has_begun and not self._begins(is_keyframe=packet.is_keyframe):
                continue
            yield packet, is_video
        if self._num_skipped and not self._has_begun:
            raise self._failure()

    def _begins(self, *, is_keyframe: bool) -> bool:
        self._has_begun = is_keyframe
        if not is_keyframe:
            self._num_skipped += 1
            if is_live(self._path) and self._num_skipped >= _MAX_LIVE_PACKETS:
                raise self._failure()
        return is_keyframe

    def _failure(self) -> InputError:
        return InputError(
            f"{self._path} has no keyframe in {self._num_skipped} packets, so that no picture can be decoded.",
            "Take the recording from an earlier point.",
        )
