"""Threads of the router, none of which ends by an exception without a word."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

_LOG = logging.getLogger(__name__)
_MAX_KERNEL_NAME = 15


def end_process() -> None:
    """End this process at once: its heartbeat gets old, the probe sees it, and Kubernetes restarts the container."""
    logging.shutdown()
    os._exit(1)


class SupervisedThread(threading.Thread):
    """A daemon thread with an owner, who is told when it ends by an exception.

    Its name, cut to 15 characters, is the kernel's name for it, too: `top -H` and /proc/PID/task/*/comm show which
    threads live.
    """

    def __init__(self, target: Callable[[], None], name: str, on_failure: Callable[[], None] = end_process) -> None:
        """Take what to run, and what to do when that fails; without that, the process ends."""
        super().__init__(name=name, daemon=True)
        self._call = target
        self._on_failure = on_failure

    def run(self) -> None:
        """Run the target."""
        with contextlib.suppress(OSError):
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(self.name[:_MAX_KERNEL_NAME])
        try:
            self._call()
        except BaseException:  # noqa: BLE001 - an exit is an end like any other
            _LOG.critical("the thread %s failed", self.name, exc_info=True)
            self._on_failure()
