"""Which worker has memory left for one more session: what does not fit is refused, as the kernel would kill."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import TypeVar

from segtriton_protocol import ErrorCode, SegtritonError, VideoFormat
from segtriton_server.media.pixel_formats import nearest_formats, num_bytes
from segtriton_server.memory_plan import MemoryPlan, session_bytes

_LOG = logging.getLogger(__name__)
_RETRY_AFTER_SECONDS = 2.0
_MIB = 1 << 20
_Worker = TypeVar("_Worker", bound=Hashable)


class SessionMemory:
    """What the open sessions take, by the worker that has them; not safe for several threads.

    It counts what the pictures that OPEN names may take. Where they turn out larger, the worker's own bound holds.
    """

    def __init__(self, plan: MemoryPlan) -> None:
        self._plan = plan
        self._held: dict[str, tuple[Hashable, int]] = {}
        _LOG.info(
            "memory: %d MiB in all, %d for the sessions of each worker", plan.limit // _MIB, plan.sessions // _MIB
        )

    def needed_bytes(self, video: VideoFormat) -> int:
        """Return what a session with such a video may take, with one frame thread.

        Raises:
            SegtritonError: LIMIT_EXCEEDED if no worker ever has so much.
        """
        needed = session_bytes(_picture_bytes(video)) + self._plan.state
        if needed > self._plan.sessions:
            raise SegtritonError(
                ErrorCode.LIMIT_EXCEEDED,
                f"{video.width}x{video.height} in {nearest_formats(video.pixel_format)[0]} may take {needed // _MIB} "
                f"MiB of memory, and a worker here has {self._plan.sessions // _MIB}.",
            )
        return needed

    def choose(self, workers: Sequence[_Worker], needed: int) -> list[_Worker]:
        """Return those of the workers that have so many bytes left.

        Raises:
            SegtritonError: RESOURCE_EXHAUSTED if none has.
        """
        fitting = [worker for worker in workers if self._held_by(worker) + needed <= self._plan.sessions]
        if not fitting:
            raise SegtritonError(
                ErrorCode.RESOURCE_EXHAUSTED,
                f"Other sessions leave no worker the {needed // _MIB} MiB of memory that this one may take.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        return fitting

    def take(self, session_id: str, worker: Hashable, video: VideoFormat, wanted_threads: int = 1) -> int:
        """Count a session's bytes as its worker's.

        Returns:
            The frame threads that it may have, of those that are wanted: what they take beside the first is at most
            half of what the session would leave its worker, as others may come.
        """
        picture_bytes = _picture_bytes(video)
        needed = session_bytes(picture_bytes) + self._plan.state
        each = session_bytes(picture_bytes, 2) - session_bytes(picture_bytes)
        spare = max(0, self._plan.sessions - self._held_by(worker) - needed)
        num_threads = min(wanted_threads, 1 + spare // 2 // each)
        self._held[session_id] = (worker, needed + (num_threads - 1) * each)
        return num_threads

    def give_back(self, session_id: str) -> None:
        """Count them no more; a session that has none is left alone."""
        self._held.pop(session_id, None)

    def _held_by(self, worker: Hashable) -> int:
        return sum(held for owner, held in self._held.values() if owner is worker)


def _picture_bytes(video: VideoFormat) -> int:
    return num_bytes(nearest_formats(video.pixel_format)[0], (video.height, video.width))
