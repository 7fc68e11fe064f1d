"""`segops status`: the pods, their sessions and slots, the roll-out and the autoscaler."""

from __future__ import annotations

import time

import click

from segtriton_ops.segops.context import Operation, pass_operation
from segtriton_ops.segops.kubernetes_api import Json
from segtriton_ops.segops.output import table
from segtriton_ops.segops.release import Release, ServerPod

_COLUMNS = ("POD", "STATE", "SESSIONS", "SLOTS", "RESTARTS", "NODE", "IMAGE", "PROBLEM")


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Show it again every few seconds, until Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(0.5), default=2.0, show_default=True, help="Seconds between two looks."
)
@pass_operation
def status(operation: Operation, watch: bool, interval: float) -> None:
    """Show the release's pods with their sessions, the roll-out and the autoscaler."""
    while True:
        found = read_status(operation.release)
        if watch and not operation.output.as_json:
            click.clear()
        operation.output.finish(found, describe(found))
        if not watch:
            return
        time.sleep(interval)


def read_status(release: Release) -> Json:
    """Return all that the command shows."""
    deployment = release.deployment()
    pods = release.pods()
    return {
        "release": release.name,
        "namespace": release.cluster.namespace,
        "deployment": deployment["metadata"]["name"],
        "replicas": deployment["spec"]["replicas"],
        "updated": deployment["status"].get("updatedReplicas", 0),
        "available": deployment["status"].get("availableReplicas", 0),
        "autoscaler": release.autoscaler(),
        "sessions": total_sessions(pods),
        "slots": sum(pod.slots or 0 for pod in pods if pod.state == "Ready"),
        "pods": [pod.to_json() for pod in pods],
    }


def total_sessions(pods: list[ServerPod]) -> int:
    """Return the sessions of all pods that tell them."""
    return sum(pod.sessions or 0 for pod in pods)


def describe(found: Json) -> str:
    """Return the status as a person reads it."""
    rows = [
        (
            pod["name"],
            pod["state"],
            pod["sessions"],
            pod["slots"],
            pod["restarts"],
            pod["node"],
            pod["image"].rpartition("/")[2],
            pod["problem"],
        )
        for pod in found["pods"]
    ]
    scaled = found["autoscaler"] or "nothing"
    return "\n".join(
        [
            f"{found['deployment']} in {found['namespace']}: {found['sessions']} sessions in {found['slots']} slots",
            f"{found['replicas']} pods wanted, {found['updated']} up to date, {found['available']} available; "
            f"scaled by {scaled}",
            "",
            table(_COLUMNS, rows),
        ]
    )
