"""The environment of a worker process: what its libraries read, by name, and nothing else that the server was given."""

from __future__ import annotations

from collections.abc import Mapping

_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "PATH",
        "TMPDIR",
        "TZ",
        "GLIBC_TUNABLES",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONFAULTHANDLER",
        "PYTHONHASHSEED",
        "PYTHONHOME",
        "PYTHONMALLOC",
        "PYTHONNOUSERSITE",
        "PYTHONPATH",
        "PYTHONSAFEPATH",
        "PYTHONUNBUFFERED",
        "PYTHONUTF8",
        "PYTHONWARNINGS",
        # By name, as NVIDIA_API_KEY begins so, too.
        "NVIDIA_DISABLE_REQUIRE",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_TF32_OVERRIDE",
        "NVIDIA_VISIBLE_DEVICES",
        "PYTORCH_ALLOC_CONF",
        "PYTORCH_CUDA_ALLOC_CONF",
    }
)
_PREFIXES = ("CUBLAS_", "CUDA_", "CUDNN_", "GOMP_", "KMP_", "LC_", "MALLOC_", "MKL_", "OMP_", "OPENBLAS_")

# A thread that a library starts before files are hidden could still read them, and workers fill the cores themselves.
_ONE_THREAD = {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return of the server's environment what a worker's libraries may need."""
    known = {name: value for name, value in environment.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return {**_ONE_THREAD, **known}
