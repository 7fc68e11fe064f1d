"""How a Triton is to be started."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

LogLevel = Literal["error", "warning", "info", "verbose"]

DEFAULT_MODELS = ("selfie", "selfie_streaming")


@dataclass(frozen=True)
class LaunchSettings:
    """Everything that is chosen about one run of Triton.

    Attributes:
        model_repository: The folder of models.
        models: Those of them that are loaded; nothing else in the folder is looked at.
        address: The address that all three ports are opened on.
        grpc_port: 0 picks a free one, as for the other ports.
        http_port: Health, metadata, and inference by HTTP.
        metrics_port: Prometheus metrics.
        networks: The folder of network files, which the models find by `SEGTRITON_NETWORKS`.
        log_path: Where Triton's log goes; None leaves it on the terminal.
        log_level: How much Triton logs.
        ready_timeout_seconds: How long the models may take to load.
        exit_timeout_seconds: How long running requests may take to end when Triton is asked to stop.
        environment: What the models' processes find in their environment beside what is there already.
        admin_key: What callers must show for Triton's administrative calls (`ADMIN_CALLS`), as gRPC header
            `triton-grpc-protocol-segtriton-admin-key` or HTTP header `segtriton-admin-key`; empty leaves them open.
        triton_args: Further arguments for tritonserver, as they are.
    """

    model_repository: Path
    models: tuple[str, ...] = DEFAULT_MODELS
    address: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    networks: Path | None = None
    log_path: Path | None = None
    log_level: LogLevel = "info"
    ready_timeout_seconds: float = 60.0
    exit_timeout_seconds: int = 10
    environment: Mapping[str, str] = field(default_factory=dict)
    admin_key: str = field(default="", repr=False)
    triton_args: tuple[str, ...] = ()


def default_networks() -> Path | None:
    """The folder of networks that the environment names, if it names one."""
    named = os.environ.get("SEGTRITON_NETWORKS")
    return Path(named) if named else None
