"""The process's CUDA context."""

import torch

from segtriton_server.device.driver import let_waiting_threads_sleep


def open_device() -> None:
    """Make the first visible device's context; raises NoDeviceError where there is no GPU."""
    let_waiting_threads_sleep()
    torch.cuda.init()
    torch.zeros(1, device="cuda")
