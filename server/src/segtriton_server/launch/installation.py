"""Finds a Triton on this machine and prepares its backends for the Python that runs this."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segtriton_server.launch.errors import StubError, TritonNotFoundError

CONTAINER_BINARY = Path("/opt/tritonserver/bin/tritonserver")
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBPYTHON = f"libpython{PYTHON_VERSION}.so.1.0"
STUB_NAME = "triton_python_backend_stub"


@dataclass(frozen=True)
class TritonInstallation:
    """A tritonserver and what stands around it.

    Attributes:
        binary: The server.
        backends: The folder of its backends.
        stubs: A folder of stubs, one for each version of Python, which only the wheel has. Elsewhere the one stub
            stands in the Python backend's folder.
    """

    binary: Path
    backends: Path
    stubs: Path | None

    @property
    def is_from_wheel(self) -> bool:
        """Whether this is the Triton that pip can install."""
        return self.stubs is not None

    @property
    def stub(self) -> Path:
        """The executable that runs models with the Python that runs this."""
        if self.stubs is not None:
            return self.stubs / PYTHON_VERSION / STUB_NAME
        return self.backends / "python" / STUB_NAME

    def link_backends(self, folder: Path) -> Path:
        """Makes a folder of backends whose Python stub is the right one.

        Args:
            folder: An empty folder for links: the libraries find each other from where they really are.

        Returns:
            The folder for tritonserver's `--backend-directory`.

        Raises:
            StubError: The wheel has no stub for this Python.
        """
        if self.stubs is None:
            return self.backends
        if not self.stub.is_file():
            has = ", ".join(sorted(path.name for path in self.stubs.iterdir()))
            raise StubError(f"This Triton has no stub for Python {PYTHON_VERSION}; use one of {has}.")
        python = folder / "python"
        python.mkdir(parents=True)
        for part in (*(self.backends / "python").iterdir(), self.stub):
            (python / part.name).symlink_to(part)
        return folder


def find_triton(environment: Mapping[str, str] = os.environ) -> TritonInstallation:
    """Finds tritonserver: on PATH, where the container has it, else in the wheel beside this package.

    Raises:
        TritonNotFoundError: It is in none of these places.
    """
    on_path = shutil.which("tritonserver", path=environment.get("PATH"))
    candidates = [Path(on_path)] if on_path else []
    candidates += [CONTAINER_BINARY, *wheel_binaries()]
    for candidate in candidates:
        if candidate.is_file():
            return describe(candidate.resolve())
    raise TritonNotFoundError(
        "There is no tritonserver on PATH, in /opt/tritonserver or in this Python's packages; "
        "run this in a Triton container, or: pip install --no-deps nvidia-pytriton==0.7.0"
    )


def wheel_binaries() -> list[Path]:
    """Where pytriton's wheel has its binary; found without running that package, whose own needs are not installed."""
    spec = importlib.util.find_spec("pytriton")
    folders = (spec.submodule_search_locations or []) if spec else []
    return [Path(folder) / "tritonserver" / "bin" / "tritonserver" for folder in folders]


def describe(binary: Path) -> TritonInstallation:
    """Names what stands around a server."""
    root = binary.parent.parent
    stubs = root / "python_backend_stubs"
    return TritonInstallation(binary=binary, backends=root / "backends", stubs=stubs if stubs.is_dir() else None)


def libpython_folder() -> Path | None:
    """The folder of this Python's shared library, where it is known; the stub embeds that very version."""
    for folder in (Path(sysconfig.get_config_var("LIBDIR") or ""), Path(sys.base_prefix) / "lib"):
        if (folder / LIBPYTHON).exists():
            return folder
    return None
