"""What fits into the memory of the container: how much each worker may take, how large pictures may be, how many slots.

The figures are of workers on a CPU, counted as the kernel counts them against a worker's bound (VmData), rounded up; of
H.264, HEVC, VP9 and AV1 from 176x144 to 8192x4320, 8 and 10 bits, with every encoder:
docs/kubernetes.md#what-the-memory-of-a-pod-holds.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

from segtriton_server.memory_limit import memory_limit
from segtriton_server.settings import InvalidSettingError, Settings

_LOG = logging.getLogger(__name__)
_MIB = 1 << 20
# Triton, the models' own processes, and the libraries that all processes share. On a GPU the model for raw frames has
# three processes, each with what a worker takes.
_REST_BYTES = {"cpu": 256 * _MIB, "gpu": (256 + 3 * 1024) * _MIB}
# A worker without sessions; on a GPU with CUDA's context, of which only the part in the host's memory counts.
_WORKER_BYTES = {"cpu": 144 * _MIB, "gpu": 1024 * _MIB}
_SESSION_BYTES = 24 * _MIB
_PICTURES = 39
_PICTURES_OF_FRAME_THREAD = 11
# Of the decoder that a background needs for a moment: what it refers to, and what it sorts.
_MOST_PICTURES_OF_DECODER = 34
# /dev/shm is half of a machine's memory where nobody has chosen its size, and nearly empty.
_LARGEST_SHARED_PART = 4
# What one session may leave with Triton whose client acknowledges nothing; and one of the sample's contract.
_HANDOVER_PART, _SAMPLE_PART = 8, 4
_PLAIN_SIZE = 1280 * 720
_MAX_SLOTS = 16


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How the memory is shared out, in bytes.

    Attributes:
        limit: what all processes may use together.
        worker: what one worker may use.
        sessions: what the sessions of one worker may use together.
        state: what the network keeps for each of them.
    """

    limit: int
    worker: int
    sessions: int
    state: int = 0

    @property
    def most_pixels(self) -> int:
        """The largest picture, in 8-bit 4:2:0, of which a worker holds a session."""
        return max(0, self.sessions - _SESSION_BYTES - self.state) // _PICTURES * 2 // 3

    def count_sessions(self, pixels: int) -> int:
        """Return how many sessions with 8-bit 4:2:0 pictures of so many pixels one worker holds."""
        return self.sessions // (session_bytes(pixels * 3 // 2) + self.state)


def session_bytes(picture_bytes: int, num_frame_threads: int = 1, num_outputs: int = 1) -> int:
    """Return the most that a session with such pictures takes in its worker, whatever its codec and encoder.

    Each frame thread of x264's beyond the first has pictures of its own; each output is counted as if it had a decoder.
    """
    num_pictures = _PICTURES * num_outputs + _PICTURES_OF_FRAME_THREAD * (num_frame_threads - 1)
    return _SESSION_BYTES + num_pictures * picture_bytes


def idle_bytes(settings: Settings) -> int:
    """Return what a process with the network and without sessions takes."""
    return _WORKER_BYTES[settings.accelerator] + settings.network_memory_bytes


def background_bytes(picture_bytes: int, num_pictures: int) -> int:
    """Return what a background of so many such pictures takes beside the rest of its session; nothing without one."""
    return (num_pictures + min(num_pictures + 2, _MOST_PICTURES_OF_DECODER)) * picture_bytes if num_pictures else 0


def plan_memory(settings: Settings, workers: int) -> MemoryPlan:
    """Return the shares of so many workers.

    Raises:
        InvalidSettingError: the memory does not hold so many workers, each with a session.
    """
    limit = settings.memory_bytes or memory_limit()
    share = limit - min(_shared_memory_bytes(), limit // _LARGEST_SHARED_PART)
    idle = idle_bytes(settings)
    # Raw frames run a network that a user brought in a process of its own.
    is_apart = settings.accelerator == "cpu" and settings.network_memory_bytes
    share = (share - _REST_BYTES[settings.accelerator] - (idle if is_apart else 0)) // workers
    worker = min(share, settings.worker_memory_bytes or share)
    if worker - idle < session_bytes(0) + settings.network_state_bytes:
        raise InvalidSettingError(
            f"{limit // _MIB} MiB of memory do not hold {workers} workers, each with a session; raise the container's "
            "memory limit or SEGTRITON_WORKER_MEMORY_BYTES, or lower SEGTRITON_WORKERS or SEGTRITON_WORKERS_PER_GPU."
        )
    return MemoryPlan(limit, worker, worker - idle, settings.network_state_bytes)


def fit_to_memory(settings: Settings) -> Settings:
    """Return the settings for this container's memory: what was not set follows from it, what was set is checked.

    A GPU's workers are bound by the GPU's memory before; there only sessions are counted (see `WorkerMemory`).

    Raises:
        InvalidSettingError: as of `plan_memory`.
    """
    limit = settings.memory_bytes or memory_limit()
    settings = replace(
        settings,
        handover_bytes=_fit(settings, "handover_bytes", limit // _HANDOVER_PART),
        sample_output_bytes=_fit(settings, "sample_output_bytes", limit // _SAMPLE_PART),
    )
    if settings.accelerator == "gpu":
        return replace(settings, stream_slots=settings.stream_slots or _MAX_SLOTS)
    workers = settings.num_workers
    plan = plan_memory(settings, workers)
    slots = max(1, min(_MAX_SLOTS, plan.count_sessions(_PLAIN_SIZE) * workers))
    return replace(
        settings,
        worker_memory_bytes=_fit(settings, "worker_memory_bytes", plan.worker),
        max_pixels=_fit(settings, "max_pixels", plan.most_pixels),
        stream_slots=settings.stream_slots or slots,
    )


def _fit(settings: Settings, name: str, fitting: int) -> int:
    value: int = getattr(settings, name)
    if value == getattr(Settings(), name):
        return min(value, fitting)
    if not 0 < value <= fitting:
        _LOG.warning(
            "The memory is too small for %s %d: it holds %d. What does not fit is refused.", name, value, fitting
        )
    return value


def _shared_memory_bytes(folder: Path = Path("/dev/shm")) -> int:
    if not folder.is_dir():
        return 0
    space = os.statvfs(folder)
    return space.f_blocks * space.f_frsize
