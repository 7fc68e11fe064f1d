"""How many workers there are, and which GPU each of them sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segtriton_server.device.driver import visible_devices
from segtriton_server.settings import Settings


def place_workers(settings: Settings, devices: Sequence[str] | None = None) -> tuple[Settings, list[dict[str, str]]]:
    """Return the settings with the number of workers decided, and what each worker's environment gets.

    Workers take turns between the GPUs, and sessions go to the first of the workers with the fewest, so that GPUs are
    used evenly at any number of sessions.

    Args:
        settings: the server's settings.
        devices: the GPUs there are; asked from the driver if not given.

    Raises:
        NoDeviceError: the settings want a GPU and there is none.
    """
    if settings.accelerator != "gpu":
        settings = replace(settings, workers=settings.num_workers)
        return settings, [{} for _ in range(settings.workers)]
    if devices is None:
        devices = visible_devices()
    settings = replace(settings, workers=settings.workers or settings.workers_per_gpu * len(devices))
    return settings, [{"CUDA_VISIBLE_DEVICES": devices[index % len(devices)]} for index in range(settings.workers)]
