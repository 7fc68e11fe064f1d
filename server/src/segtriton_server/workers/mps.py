"""NVIDIA's Multi-Process Service: lets the workers of one GPU run on it side by side instead of by turns."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from segtriton_server.settings import Settings
from segtriton_server.workers.environment import worker_environment

_LOG = logging.getLogger(__name__)
_DAEMON = "nvidia-cuda-mps-control"
_PIPE_DIRECTORY, _LOG_DIRECTORY = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
# Ends with status 0 where a context can be had; under the service, its server is started by the first one who asks.
_PROBE = (
    "import ctypes; cuda = ctypes.CDLL('libcuda.so.1'); context = ctypes.c_void_p(); "
    "exit(cuda.cuInit(0) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))"
)


class MpsDaemon:
    """The service, for the workers of this server alone.

    Attributes:
        environment: what a process needs to find it.
    """

    def __init__(self, daemon: str) -> None:
        """Start it; raises OSError where that is not possible. Whether it works, only `works` tells."""
        # A socket's path has room for 107 characters: no deep folder.
        self._folder = Path(tempfile.mkdtemp(prefix="segtriton-mps-"))
        self.environment = {_PIPE_DIRECTORY: str(self._folder), _LOG_DIRECTORY: str(self._folder)}
        self._command = daemon
        try:
            self._process = subprocess.Popen(
                [daemon, "-f"], env={**worker_environment(os.environ), **self.environment}, stdin=subprocess.DEVNULL
            )
        except OSError:
            self._remove_folder()
            raise

    def works(self, python: str) -> bool:
        """Whether a process that uses the service gets a context."""
        environment = {**worker_environment(os.environ), **self.environment}
        try:
            probe = subprocess.run([python, "-c", _PROBE], env=environment, timeout=_START_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return probe.returncode == 0 and self._process.poll() is None

    def close(self) -> None:
        """End it and its server; its clients must have ended."""
        try:
            subprocess.run(
                [self._command],
                input=b"quit\n",
                env={**worker_environment(os.environ), **self.environment},
                capture_output=True,
                timeout=_STOP_SECONDS,
                check=False,
            )
            self._process.wait(_STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._remove_folder()

    def _remove_folder(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def start_mps(settings: Settings, environment: Mapping[str, str] = os.environ) -> MpsDaemon | None:
    """Start the service for workers on GPUs; None where it is not wanted, or cannot be had, or runs outside already.

    Without it the server works, only slower, so that what is in the way is told in the log and no error.
    """
    if settings.accelerator != "gpu" or not settings.mps or _PIPE_DIRECTORY in environment:
        return None
    if (path := shutil.which(_DAEMON)) is None:
        _LOG.warning("%s is not here: workers take turns on the GPU (driver capability 'compute')", _DAEMON)
        return None
    try:
        daemon = MpsDaemon(path)
    except OSError as error:
        _LOG.warning("%s does not start (%s): workers take turns on the GPU", _DAEMON, error)
        return None
    if not daemon.works(settings.worker_python):
        _LOG.warning("NVIDIA's Multi-Process Service does not work here: workers take turns on the GPU")
        daemon.close()
        return None
    return daemon


def is_shared_by_mps(daemon: MpsDaemon | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the workers run under the service, ours or one that the node offers."""
    return daemon is not None or _PIPE_DIRECTORY in environment
