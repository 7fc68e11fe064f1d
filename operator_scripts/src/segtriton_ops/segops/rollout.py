"""`segops rollout`: a new version, tried on one pod before users meet it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import click

from segtriton_client import Endpoint
from segtriton_client.cli_options import credential_options, make_endpoint
from segtriton_client.numbered_clip import make_clip
from segtriton_ops.exporter.observer import Observer
from segtriton_ops.segops.canary import Judgement, canary_of, judge
from segtriton_ops.segops.context import Operation, pass_operation, wait_until
from segtriton_ops.segops.kubernetes_api import ClusterError, Json
from segtriton_ops.segops.output import table
from segtriton_ops.segops.passing_pod import create, running
from segtriton_ops.segops.release import SERVER, server_of

_FRAMES = 50
_SESSION_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many sessions judge a pod, how much later the new one may be, and how long each step may take."""

    sessions: int
    times: float
    seconds: float
    timeout: float


@click.command()
@credential_options
@click.argument("image")
@click.option("--network", default="selfie", show_default=True)
@click.option(
    "--sessions", type=click.IntRange(1), default=5, show_default=True, help="Synthetic sessions for each pod."
)
@click.option(
    "--times", type=click.FloatRange(1), default=1.5, show_default=True, help="How much later p95 may be, and"
)
@click.option("--seconds", type=click.FloatRange(0), default=0.05, show_default=True, help="by how much at least.")
@click.option("--timeout", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds for each step.")
@pass_operation
def rollout(operation: Operation, /, image: str, network: str, **options: Any) -> None:
    """Try IMAGE on one pod that no user meets, then roll it out, or leave all as it is.

    The pod gets synthetic sessions, and so does one of the running pods. If every frame comes back and the latency is
    about the same, the deployment gets the image; if that does not succeed in time, it gets the old one again.
    """
    endpoint = make_endpoint({"endpoint": "", **options})
    limits = Limits(options["sessions"], options["times"], options["seconds"], options["timeout"])
    deployment = operation.release.deployment()
    old = image_of(deployment)
    if operation.settings.dry_run:
        create(operation, canary_of(deployment, image))
        result = {"from": old, "to": image, "dry_run": True}
        operation.output.finish(result, f"{old} would become {image}: the cluster takes its pod (dry run).")
        return
    observer = Observer(endpoint, make_clip(_FRAMES), network, _SESSION_SECONDS)
    compared = compare(operation, deployment, image, observer, limits, server_name_of(operation, endpoint))
    reason = compared["canary"].worse_than(compared["running"], limits.times, limits.seconds)
    operation.output.tell(describe(compared))
    if reason:
        raise click.ClickException(f"{image} is not rolled out: {reason}. The release is as it was.")
    replace_image(operation, deployment, image, limits)
    result = {"from": old, "to": image, **{name: asdict(found) for name, found in compared.items()}, "dry_run": False}
    operation.output.finish(
        result, f"all pods run {image}; put it into your values, or the next helm upgrade undoes it"
    )


def compare(
    operation: Operation, deployment: Json, image: str, observer: Observer, limits: Limits, server_name: str
) -> dict[str, Judgement]:
    """Judge a pod of the new image and a running one; the new one is gone afterwards, whatever happens."""
    ready = [pod.name for pod in operation.release.pods() if pod.state == "Ready"]
    if not ready:
        raise click.ClickException("no pod is ready to compare with; see segops status.")
    with running(operation, canary_of(deployment, image), limits.timeout) as canary:
        return {
            kind: judge(operation.cluster, observer, pod, server_name, limits.sessions)
            for kind, pod in (("running", ready[0]), ("canary", canary))
        }


def replace_image(operation: Operation, deployment: Json, image: str, limits: Limits) -> None:
    """Give the deployment an image; give it the old one again where the new pods do not get ready in time."""
    set_image(operation, deployment, image)
    if wait_until(lambda: is_rolled_out(operation), limits.timeout):
        return
    old = image_of(deployment)
    operation.output.tell(f"the pods of {image} are not ready after {limits.timeout:g} s; going back to {old}")
    set_image(operation, deployment, old)
    is_back = wait_until(lambda: is_rolled_out(operation), limits.timeout)
    now = f"all pods run {old} again" if is_back else f"pods of {old} are not ready yet; see segops status"
    raise click.ClickException(f"{image} is not rolled out: its pods were not ready in time. {now}.")


def set_image(operation: Operation, deployment: Json, image: str) -> None:
    """Change the image of the server's container."""
    spec = deployment["spec"]["template"]["spec"]
    containers = [{**one, "image": image} if one["name"] == SERVER else one for one in spec["containers"]]
    path = operation.cluster.path("deployments", deployment["metadata"]["name"], "apps/v1")
    operation.cluster.patch(path, {"spec": {"template": {"spec": {"containers": containers}}}})


def is_rolled_out(operation: Operation) -> bool:
    """Return whether all pods are of the deployment's newest template, ready, and no old one is left."""
    deployment = operation.release.deployment()
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = {status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")}
    return bool(seen and counts == {wanted})


def server_name_of(operation: Operation, endpoint: Endpoint) -> str:
    """Return the name that the server's certificate has; empty without TLS."""
    if not endpoint.uses_tls:
        return ""
    services = operation.cluster.items(operation.cluster.path("services"), labelSelector=operation.release.selector)
    names = sorted(service["metadata"]["name"] for service in services)
    if not names:
        raise ClusterError("the release has no Service whose name its certificate could have.")
    return f"{names[0]}.{operation.cluster.namespace}.svc"


def image_of(deployment: Json) -> str:
    """Return the image of the server's container."""
    return str(server_of(deployment["spec"]["template"]["spec"])["image"])


def describe(compared: dict[str, Judgement]) -> str:
    """Return both judgements as a table."""
    rows = [
        (
            kind,
            found.server,
            f"{found.whole} of {found.sessions}",
            None if found.p95 is None else f"{1000 * found.p95:.0f}",
        )
        for kind, found in compared.items()
    ]
    return table(("POD", "SERVER", "WHOLE", "P95 MS"), rows)
