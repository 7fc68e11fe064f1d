"""`segops drain`: takes a pod away without cutting a session."""

from __future__ import annotations

import http.client
import time

import click

from segtriton_ops.segops.context import Operation, pass_operation, wait_until
from segtriton_ops.segops.kubernetes_api import ClusterError, Json


@click.command()
@click.argument("pod")
@click.option("--timeout", type=click.FloatRange(1), default=300.0, show_default=True, help="Seconds to wait in all.")
@pass_operation
def drain(operation: Operation, pod: str, timeout: float) -> None:
    """Evict POD, watch its sessions go on elsewhere, and wait for its successor.

    The eviction heeds the disruption budget. The pod's own hook tells its sessions to move before Triton stops.
    """
    found = operation.release.find_pod(pod)
    if found is None:
        raise click.ClickException(
            f"there is no pod {pod} in namespace {operation.cluster.namespace}; see segops status."
        )
    deadline = time.monotonic() + timeout
    evict(operation, pod, timeout)
    result: Json = {"pod": pod, "sessions": found.sessions, "dry_run": operation.settings.dry_run, "gone": False}
    if operation.settings.dry_run:
        operation.output.finish(result, f"{pod} with {found.sessions} sessions may be evicted now (dry run).")
        return
    operation.output.tell(f"{pod} drains {found.sessions} sessions")
    result["gone"] = follow(operation, pod, deadline)
    whole = result["gone"] and wait_until(lambda: is_whole(operation), deadline - time.monotonic())
    operation.output.finish(result, f"{pod} is gone; all pods are ready" if whole else "")
    if not whole:
        raise click.ClickException(f"{pod} is not replaced after {timeout:g} s; see segops status.")


def evict(operation: Operation, pod: str, seconds: float) -> None:
    """Ask for the eviction until the disruption budget allows it; a dry run asks once."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = operation.cluster.path("pods", f"{pod}/eviction")

    def is_granted() -> bool:
        try:
            operation.cluster.create(path, body)
        except ClusterError as error:
            if error.status != http.client.TOO_MANY_REQUESTS or operation.settings.dry_run:
                raise
            operation.output.tell(f"waiting: {error}")
            return False
        return True

    if not wait_until(is_granted, seconds):
        raise click.ClickException(f"the disruption budget did not let {pod} go within {seconds:g} s.")


def follow(operation: Operation, pod: str, deadline: float) -> bool:
    """Tell how many sessions are left whenever it changes; return whether the pod went in time."""
    told: int | None = None

    def is_gone() -> bool:
        nonlocal told
        found = operation.release.find_pod(pod)
        if found is not None and found.sessions is not None and found.sessions != told:
            told = found.sessions
            operation.output.tell(f"{told} sessions left on {pod}")
        return found is None

    return wait_until(is_gone, deadline - time.monotonic())


def is_whole(operation: Operation) -> bool:
    """Return whether as many pods are ready as the deployment wants."""
    deployment = operation.release.deployment()
    return bool(deployment["status"].get("readyReplicas", 0) >= deployment["spec"]["replicas"])
