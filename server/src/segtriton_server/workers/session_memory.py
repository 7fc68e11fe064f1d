"""Which worker has memory left for one more session: what does not fit is refused, as the kernel would kill."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import TypeVar

from segtriton_protocol import ErrorCode, Open, SegtritonError
from segtriton_server.media.pixel_formats import nearest_formats, num_bytes
from segtriton_server.memory_plan import MemoryPlan, background_bytes, session_bytes

_LOG = logging.getLogger(__name__)
_RETRY_AFTER_SECONDS = 2.0
_MIB = 1 << 20
_Worker = TypeVar("_Worker", bound=Hashable)


class SessionMemory:
    """What the open sessions take, by the worker that has them; not safe for several threads.

    It counts what the pictures that OPEN names may take. Where they turn out larger, the worker's own bound holds.
    """

    def __init__(self, plan: MemoryPlan, max_background_bytes: int) -> None:
        self._plan = plan
        self._max_background_bytes = max_background_bytes
        self._held: dict[str, tuple[Hashable, int]] = {}
        _LOG.info(
            "memory: %d MiB in all, %d for the sessions of each worker", plan.limit // _MIB, plan.sessions // _MIB
        )

    def needed_bytes(self, request: Open) -> int:
        """Return what a session may take, with one frame thread.

        Raises:
            SegtritonError: LIMIT_EXCEEDED if no worker ever has so much, or the background is too large.
        """
        video, picture_bytes = request.video, _picture_bytes(request)
        held = picture_bytes * _num_background_pictures(request)
        if held > self._max_background_bytes:
            raise SegtritonError(
                ErrorCode.LIMIT_EXCEEDED,
                f"The background's pictures may take {held / _MIB:.0f} MiB of memory; a session's may take "
                f"{self._max_background_bytes // _MIB} here.",
            )
        needed = _session_bytes(request) + self._plan.state
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

    def take(self, session_id: str, worker: Hashable, request: Open, wanted_threads: int = 1) -> int:
        """Count a session's bytes as its worker's.

        Returns:
            The frame threads that it may have, of those that are wanted: what they take beside the first is at most
            half of what the session would leave its worker, as others may come.
        """
        each = _session_bytes(request, 2) - _session_bytes(request)
        needed = _session_bytes(request) + self._plan.state
        spare = max(0, self._plan.sessions - self._held_by(worker) - needed)
        num_threads = min(wanted_threads, 1 + spare // 2 // each)
        self._held[session_id] = (worker, needed + (num_threads - 1) * each)
        return num_threads

    def give_back(self, session_id: str) -> None:
        """Count them no more; a session that has none is left alone."""
        self._held.pop(session_id, None)

    def _held_by(self, worker: Hashable) -> int:
        return sum(held for owner, held in self._held.values() if owner is worker)


def _session_bytes(request: Open, num_frame_threads: int = 1) -> int:
    picture_bytes = _picture_bytes(request)
    background = background_bytes(picture_bytes, _num_background_pictures(request))
    return session_bytes(picture_bytes, num_frame_threads, len(request.output.effects)) + background


def _num_background_pictures(request: Open) -> int:
    return 0 if request.background is None else len(request.background.block)


def _picture_bytes(request: Open) -> int:
    video = request.video
    return num_bytes(nearest_formats(video.pixel_format)[0], (video.height, video.width))
