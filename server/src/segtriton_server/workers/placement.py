"""How many workers there are, and which GPU each of them sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segtriton_server.device.driver import Device, visible_devices
from segtriton_server.settings import Settings

# Measured on an H200: under MPS four workers gave 3,678 fps with bare masks, two 2,700; by turns four gave 1,094.
_MOST_BY_TURNS = 2
_MOST_SIDE_BY_SIDE = 4
# A worker's context, weights, graphs, decoders and pictures of 1080p sessions; 2160p wants twice as much.
_BYTES_PER_WORKER = 5 << 30


def place_workers(
    settings: Settings, *, side_by_side: bool = False, devices: Sequence[Device] | None = None
) -> tuple[Settings, list[dict[str, str]]]:
    """Return the settings with the number of workers decided, and what each worker's environment gets.

    Workers take turns between the GPUs, and sessions go to the first of the workers with the fewest, so that GPUs are
    used evenly at any number of sessions.

    Args:
        settings: the server's settings.
        side_by_side: whether workers run on a GPU at the same time, as under MPS.
        devices: the GPUs there are; asked from the driver if not given.

    Raises:
        NoDeviceError: the settings want a GPU and there is none.
    """
    if settings.accelerator != "gpu":
        settings = replace(settings, workers=settings.num_workers)
        return settings, [{} for _ in range(settings.workers)]
    if devices is None:
        devices = visible_devices()
    per_gpu = settings.workers_per_gpu or _workers_that_fit(devices, side_by_side)
    settings = replace(settings, workers=settings.workers or per_gpu * len(devices))
    return settings, [{"CUDA_VISIBLE_DEVICES": devices[index % len(devices)].name} for index in range(settings.workers)]


def _workers_that_fit(devices: Sequence[Device], side_by_side: bool) -> int:
    most = _MOST_SIDE_BY_SIDE if side_by_side else _MOST_BY_TURNS
    return max(1, min(most, min(device.memory_bytes for device in devices) // _BYTES_PER_WORKER))
