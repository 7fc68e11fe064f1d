"""What the figures were taken on."""

import importlib.metadata
import os
import subprocess
from pathlib import Path

from processes import core_speed, processor_name

ROOT = Path(__file__).parents[3]
_USE = ("utilization.gpu", "utilization.decoder", "utilization.jpeg")


def describe(commit: str) -> dict[str, str]:
    """Name the GPU, its driver, torch, the processor, how fast a core runs Python, and the version of this project."""
    gpu, _, driver = _ask(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).partition(", ")
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = "none"
    if not commit and (ROOT / ".git").exists():
        commit = _ask(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])
    cores = str(len(os.sched_getaffinity(0)))
    return {
        "gpu": gpu or "none",
        "driver": driver or "none",
        "torch": torch,
        "commit": commit or "unknown",
        "cores": cores,
        "processor": processor_name(),
        "core_speed": f"{core_speed():.0f}",
    }


def gpu_use() -> dict[str, float]:
    """How busy parts of the first GPU are, in percent; nothing where the driver does not say."""
    values = _ask(["nvidia-smi", f"--query-gpu={','.join(_USE)}", "--format=csv,noheader,nounits", "--id=0"]).split(",")
    pairs = zip(_USE, (value.strip() for value in values), strict=False)
    return {name.removeprefix("utilization."): float(value) for name, value in pairs if value.isdigit()}


def _ask(command: list[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (answer.stdout.splitlines() or [""])[0].strip()
