"""The CUDA driver, asked without torch: the router must not pay for it, nor hold a context."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

_SCHED_BLOCKING_SYNC = 4  # CU_CTX_SCHED_BLOCKING_SYNC


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a part of one, as `CUDA_VISIBLE_DEVICES` names it, and all of its memory."""

    name: str
    memory_bytes: int


class NoDeviceError(RuntimeError):
    """The process sees no usable GPU."""


def let_waiting_threads_sleep() -> None:
    """Set the flag of the first device's context, before it is made, that lets threads sleep while they wait.

    By default they spin, and so many threads wait here for the device that nothing would be left for the encoders
    on the CPU.

    Raises:
        NoDeviceError: there is no GPU, or its driver does not work.
    """
    driver = _driver()
    device = ctypes.c_int()
    if driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        raise NoDeviceError("this process sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES")
    driver.cuDevicePrimaryCtxSetFlags_v2(device, _SCHED_BLOCKING_SYNC)


def visible_devices() -> list[Device]:
    """The GPUs, or parts of one, that this process sees.

    Raises:
        NoDeviceError: there is none, or the driver does not work.
    """
    driver = _driver()
    count = ctypes.c_int()
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        raise NoDeviceError("this machine shows no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES")
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = named[: count.value] or [str(index) for index in range(count.value)]
    return [Device(name, _memory_bytes(driver, index)) for index, name in enumerate(names)]


def _memory_bytes(driver: ctypes.CDLL, index: int) -> int:
    device, size = ctypes.c_int(), ctypes.c_size_t()
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    return size.value


def _driver() -> ctypes.CDLL:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise NoDeviceError("the NVIDIA driver's libcuda.so.1 is not here; is the container run with a GPU?") from None
    if (status := driver.cuInit(0)) != 0:
        raise NoDeviceError(f"the NVIDIA driver does not start (cuInit: {status}); check nvidia-smi")
    return driver
