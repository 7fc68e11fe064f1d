"""Checks, before Triton starts, for what would make it fail later in ways that are hard to read."""

import importlib.metadata
import logging
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from segtriton_server.launch.errors import ModelNotFoundError, NumpyVersionError, PortInUseError, StubError
from segtriton_server.launch.installation import LIBPYTHON, PYTHON_VERSION, TritonInstallation
from segtriton_server.launch.settings import LaunchSettings

LOGGER = logging.getLogger(__name__)

# The stub without arguments says what it expects and exits so; anything else means that it cannot run.
STUB_USAGE_STATUS = 1
# The Python backend takes a block for each process and lets it grow with the tensors under way.
SHARED_MEMORY_BYTES = 256 * 1024 * 1024


def check_stub(installation: TritonInstallation, environment: Mapping[str, str]) -> None:
    """Runs the stub once.

    A stub that cannot run makes Triton try to change its mode, and report that as the failure.

    Raises:
        StubError: It does not run; with the package to install if libpython is what it lacks.
    """
    try:
        command = [installation.stub]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise StubError(f"Triton's Python stub {installation.stub} cannot be started ({error.strerror}).") from error
    if result.returncode == STUB_USAGE_STATUS:
        return
    if LIBPYTHON in result.stderr:
        raise StubError(
            f"Triton's Python stub needs {LIBPYTHON}; install it (Debian, Ubuntu: apt-get install "
            f"libpython{PYTHON_VERSION}) or use a Python that was built with --enable-shared."
        )
    reason = result.stderr.strip() or f"exit status {result.returncode}"
    raise StubError(f"Triton's Python stub {installation.stub} does not run: {reason}")


def check_numpy(installation: TritonInstallation) -> None:
    """Checks that NumPy is one that the stub can exchange arrays with.

    The Triton of the wheel takes every array of NumPy 2 for an empty one, and reports nothing.

    Raises:
        NumpyVersionError: It is missing, or too new.
    """
    try:
        version = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        raise NumpyVersionError(
            "NumPy is missing, without which no model can run; run: pip install 'numpy<2'"
        ) from None
    if installation.is_from_wheel and int(version.partition(".")[0]) >= 2:
        raise NumpyVersionError(
            f"This Triton sends empty tensors with NumPy 2, and {version} is installed; run: pip install 'numpy<2'"
        )


def check_models(settings: LaunchSettings) -> None:
    """Checks that the folders are where the settings say.

    Raises:
        ModelNotFoundError: One of them is not there.
    """
    for model in settings.models:
        if not (settings.model_repository / model / "config.pbtxt").is_file():
            has = ", ".join(sorted(path.parent.name for path in settings.model_repository.glob("*/config.pbtxt")))
            raise ModelNotFoundError(
                f"There is no model {model} in {settings.model_repository} (there is: {has or 'none'}); "
                "name the folder with --model-repository and the models with --model."
            )
    if settings.networks is not None and not settings.networks.is_dir():
        raise ModelNotFoundError(
            f"There is no folder of networks {settings.networks}; fetch them with `make setup`, or name "
            "another with --networks or SEGTRITON_NETWORKS."
        )


def check_port(address: str, port: int, option: str) -> None:
    """Checks that a port can be opened.

    Raises:
        PortInUseError: Something listens there already, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise PortInUseError(
                f"Port {port} on {address} cannot be opened ({error.strerror}); stop what uses it, or choose another "
                f"with {option} (0 picks a free one)."
            ) from error


def warn_of_little_shared_memory(folder: Path = Path("/dev/shm")) -> None:
    """Warns where the Python backend may run out of the memory it shares with the stubs, which fails in odd ways."""
    if not folder.is_dir():
        return
    state = os.statvfs(folder)
    free_bytes = state.f_bavail * state.f_frsize
    if free_bytes < SHARED_MEMORY_BYTES:
        LOGGER.warning(
            "%s has %d MiB free and Triton may need more; give the container at least %d MiB (docker: --shm-size).",
            folder,
            free_bytes // 2**20,
            SHARED_MEMORY_BYTES // 2**20,
        )
