"""`segops scale`: changes the number of pods so that those with the fewest sessions go."""

from __future__ import annotations

from collections.abc import Sequence

import click

from segtriton_ops.segops.context import Operation, pass_operation, wait_until
from segtriton_ops.segops.output import table
from segtriton_ops.segops.release import DELETION_COST, ServerPod

_HIGHEST_COST = 2**31 - 1


@click.command()
@click.argument("replicas", type=click.IntRange(0))
@click.option("--force", is_flag=True, help="Also where an autoscaler will change the number again.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until as many pods are ready.")
@click.option("--timeout", type=click.FloatRange(1), default=300.0, show_default=True, help="Seconds to wait.")
@pass_operation
def scale(operation: Operation, replicas: int, force: bool, wait: bool, timeout: float) -> None:
    """Set the number of pods to REPLICAS.

    Each pod's deletion cost becomes the number of its sessions, so that Kubernetes takes away the emptiest; they drain.
    """
    scaler = operation.release.autoscaler()
    if scaler and not force:
        raise click.ClickException(f"{scaler} scales this release and would undo it; change that, or give --force.")
    deployment = operation.release.deployment()
    pods = [pod for pod in operation.release.pods() if pod.state != "Draining"]
    costs = deletion_costs(pods)
    for name, cost in costs.items():
        body = {"metadata": {"annotations": {DELETION_COST: str(cost)}}}
        operation.cluster.patch(operation.cluster.path("pods", name), body)
    name = deployment["metadata"]["name"]
    path = operation.cluster.path("deployments", f"{name}/scale", group="apps/v1")
    operation.cluster.patch(path, {"spec": {"replicas": replicas}})
    leaving = first_to_go(pods, len(pods) - replicas)
    result = {
        "deployment": name,
        "from": deployment["spec"]["replicas"],
        "to": replicas,
        "deletion_costs": costs,
        "first_to_go": leaving,
        "dry_run": operation.settings.dry_run,
    }
    if wait and not operation.settings.dry_run and not wait_until(lambda: has_pods(operation, replicas), timeout):
        raise click.ClickException(
            f"{name} does not have {replicas} ready pods after {timeout:g} s; see segops status."
        )
    rows = [(pod.name, pod.state, pod.sessions, "goes" if pod.name in leaving else "") for pod in pods]
    dry = " (dry run)" if operation.settings.dry_run else ""
    heading = f"{name}: {result['from']} pods become {replicas}{dry}"
    operation.output.finish(result, f"{heading}\n{table(('POD', 'STATE', 'SESSIONS', ''), rows)}")


def deletion_costs(pods: Sequence[ServerPod]) -> dict[str, int]:
    """Return what it costs to delete each pod; one that does not tell its sessions may have any number of them."""
    return {pod.name: _HIGHEST_COST if pod.sessions is None else pod.sessions for pod in pods}


def first_to_go(pods: Sequence[ServerPod], count: int) -> list[str]:
    """Return the pods that Kubernetes takes away first: those that are not ready, then the cheapest."""
    costs = deletion_costs(pods)
    ordered = sorted(pods, key=lambda pod: (pod.state == "Ready", costs[pod.name], pod.name))
    return [pod.name for pod in ordered[: max(0, count)]]


def has_pods(operation: Operation, count: int) -> bool:
    """Return whether exactly so many pods are there, all of them ready."""
    status = operation.release.deployment()["status"]
    return bool(status.get("replicas", 0) == status.get("readyReplicas", 0) == count)
