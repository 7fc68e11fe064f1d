"""What one look at one server told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from segtriton_client.probe_result import ProbeResult


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model of a Triton and its counters since its start; `batches` counts executions by their size."""

    name: str
    version: str
    ready: bool
    requests: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    inferences: int = 0
    executions: int = 0
    batches: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TritonState:
    """What a Triton says of itself; `error` tells why its models' statistics are missing."""

    live: bool = False
    ready: bool = False
    models: tuple[ModelState, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything seen of one address."""

    probe: ProbeResult
    triton: TritonState
