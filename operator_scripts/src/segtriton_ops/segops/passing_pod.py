"""A pod that is there for as long as one command needs it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from segtriton_ops.segops.context import Operation, wait_until
from segtriton_ops.segops.kubernetes_api import AbsentError, ClusterError, Json
from segtriton_ops.segops.release import problem_of, state_of

_GONE_SECONDS = 60.0


@contextmanager
def running(operation: Operation, pod: Json, seconds: float) -> Iterator[str]:
    """Run a pod for as long as the context lasts; gives its name, and it is gone afterwards, whatever happens.

    Raises ClickException where the pod is not ready in time, or one of its name is there already.
    """
    name = pod["metadata"]["name"]
    create(operation, pod)
    path = operation.cluster.path("pods", name)
    try:
        operation.output.tell(f"{name} starts")
        if not wait_until(lambda: state_of(operation.cluster.get(path)) == "Ready", seconds):
            found = operation.cluster.get(path)
            raise click.ClickException(f"{name} is {state_of(found)} after {seconds:g} s: {trouble_of(found)}")
        yield name
    finally:
        operation.cluster.delete(path, gracePeriodSeconds="1")
        # Until it is gone it holds its GPU, its claim and its name.
        if not wait_until(lambda: not exists(operation, path), _GONE_SECONDS):
            operation.output.tell(f"{name} is still there after {_GONE_SECONDS:g} s: kubectl delete pod {name} --force")


def create(operation: Operation, pod: Json) -> None:
    """Create the pod, or in a dry run have it checked; raises ClickException while there is another one."""
    try:
        operation.cluster.create(operation.cluster.path("pods"), pod)
    except ClusterError as error:
        if error.status != http.client.CONFLICT:
            raise
        name = pod["metadata"]["name"]
        raise click.ClickException(
            f"another {name} is at work, or was cut off: wait for it, or kubectl delete pod {name}."
        ) from None


def exists(operation: Operation, path: str) -> bool:
    """Return whether an object is there."""
    with suppress(AbsentError):
        operation.cluster.get(path)
        return True
    return False


def trouble_of(pod: Json) -> str:
    """Return why a pod is not ready, of the first container that does not run if there is one."""
    containers = pod["status"].get("containerStatuses", ())
    stuck: Json = next((one for one in containers if "running" not in one.get("state", {})), {})
    return problem_of(pod, stuck)
