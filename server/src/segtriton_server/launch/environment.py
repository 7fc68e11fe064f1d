"""The environment that Triton and the models' processes run in."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from segtriton_server.launch.installation import libpython_folder
from segtriton_server.launch.settings import LaunchSettings

# Each library would start a thread for every core in every worker; the workers themselves fill the cores.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# The C library's defaults, and by naming them they stay: else each large block that is freed raises both, up to 64 MiB,
# and Triton keeps what a busy time has left.
RETURNS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}

# The models' log follows Triton's.
MODEL_LOG_LEVELS = {"error": "ERROR", "warning": "WARNING", "info": "INFO", "verbose": "DEBUG"}

# These point a Python elsewhere; the stub would follow them away from the environment that this runs in.
MISLEADING = ("PYTHONHOME", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__")


def triton_environment(settings: LaunchSettings, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Builds the environment for tritonserver.

    The stub embeds Python and takes the first `python3` on PATH for its home, so this Python's folder comes first.
    `sys.executable` is not to be trusted in the stub; what it starts by itself it starts with `SEGTRITON_PYTHON`.
    """
    result = {name: value for name, value in environment.items() if name not in MISLEADING}
    log_level = {"SEGTRITON_LOG_LEVEL": MODEL_LOG_LEVELS[settings.log_level]}
    result = {**ONE_THREAD, **RETURNS_MEMORY, **log_level, "PYTHONUNBUFFERED": "1", **result}
    result["PYTHONNOUSERSITE"] = "1"
    result["SEGTRITON_PYTHON"] = sys.executable
    result["PATH"] = prepend(Path(sys.executable).parent, result.get("PATH"))
    if folder := libpython_folder():
        result["LD_LIBRARY_PATH"] = prepend(folder, result.get("LD_LIBRARY_PATH"))
    if settings.networks is not None:
        result["SEGTRITON_NETWORKS"] = str(settings.networks.absolute())
    result.update(settings.environment)
    return result


def prepend(folder: Path, search_path: str | None) -> str:
    """Puts a folder before all others of a search path."""
    return os.pathsep.join([str(folder), search_path]) if search_path else str(folder)
