"""The outputs of each frame brought together, whichever of a session's encoders holds how many back."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from segtriton_protocol.frame_parts import FramePart, join_parts
from segtriton_server.encoders.encoder import EncodedFrame


class JoinedFrames:
    """Waits with a frame until all encoders have given theirs; each gives all frames, in the order of the others."""

    def __init__(self, num_outputs: int) -> None:
        """With one output, frames go through as they are."""
        self._waiting: list[deque[EncodedFrame]] = [deque() for _ in range(num_outputs)]

    def add(self, position: int, frames: Sequence[EncodedFrame]) -> None:
        """Take what the encoder of one output has given."""
        self._waiting[position].extend(frames)

    def take(self) -> list[EncodedFrame]:
        """Return the frames that are whole."""
        count = min(map(len, self._waiting))
        return [_join([waiting.popleft() for waiting in self._waiting]) for _ in range(count)]


def _join(frames: Sequence[EncodedFrame]) -> EncodedFrame:
    first = frames[0]
    if len(frames) == 1:
        return first
    parts = [FramePart(frame.payload, frame.is_keyframe) for frame in frames]
    return EncodedFrame(first.tag, join_parts(parts), all(part.is_keyframe for part in parts))
