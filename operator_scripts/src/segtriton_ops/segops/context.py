"""What every command has: the cluster, the release, and where its words go."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from segtriton_ops.segops.kubernetes_api import Cluster
from segtriton_ops.segops.output import Output
from segtriton_ops.segops.release import Release

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """The options before the command's name."""

    kubeconfig: Path | None
    context: str
    namespace: str
    release: str
    as_json: bool
    dry_run: bool


class Operation:
    """One run of one command; connects to the cluster when it is needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.output = Output(settings.as_json)

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster that the options name."""
        wanted = self.settings
        return Cluster.connect(wanted.kubeconfig, wanted.context, wanted.namespace, dry_run=wanted.dry_run)

    @cached_property
    def release(self) -> Release:
        """The release that the options name."""
        return Release(self.cluster, self.settings.release)


pass_operation = click.make_pass_decorator(Operation)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether a condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
