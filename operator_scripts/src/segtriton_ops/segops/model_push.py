"""`segops models push`: brings new versions and networks onto a claim, beside those that are there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import click

from segtriton_ops.segops.context import Operation, pass_operation
from segtriton_ops.segops.kubernetes_api import Json
from segtriton_ops.segops.model_files import sums_there
from segtriton_ops.segops.model_units import Unit, plan, write_archive
from segtriton_ops.segops.passing_pod import create, running
from segtriton_ops.segops.release import server_of

_CONTAINER = "push"
_ROOT = "/claim"
# Everything is unpacked and checked under a hidden name, which Triton takes for no model, and then renamed at once.
_TAKE = """set -eu
umask 022
cd "$1"
[ ! -e "$2" ] || { echo "$2 is there already" >&2; exit 1; }
rm -rf .push
mkdir .push
trap 'rm -rf .push' EXIT
head -c "$3" | tar -x -f - -C .push
(cd .push && sha256sum --check --quiet --strict sums)
sync
mv -T .push/unit "$2"
"""


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--claim", default="", help="Claim to write to.", show_default="the release's own")
@click.option("--folder", help="Folder in the claim.", show_default="the release's own")
@click.option("--networks", is_flag=True, help="SOURCES are networks' files, for the claim of the networks.")
@click.option("--timeout", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds in all.")
@pass_operation
def push(operation: Operation, /, sources: tuple[Path, ...], networks: bool, timeout: float, **options: Any) -> None:
    """Put SOURCES, folders of models, onto the claim that the release's pods read.

    A pod of a moment takes them, checks them, and names them at once. What is there is never changed, so no running pod
    sees anything; pods that start later serve the newest version.
    """
    deployment = operation.release.deployment()
    claim, folder = destination(deployment, "networks" if networks else "models")
    claim = options["claim"] or claim
    folder = folder if options["folder"] is None else check_folder(options["folder"])
    if not claim:
        raise click.ClickException(no_claim(deployment, networks))
    pod = push_pod(deployment, claim, timeout)
    if operation.settings.dry_run:
        create(operation, pod)
        pushed = [unit.target for unit in plan(sources, {}, networks)]
        text = f"{', '.join(pushed)} would go to {claim}, as far as not there (dry run)."
    else:
        pushed = push_from(operation, pod, folder, timeout, sources, networks)
        restart = f"kubectl rollout restart deployment/{deployment['metadata']['name']}"
        text = f"pods that start from now on use them: {restart}" if pushed else "all is there already"
    result = {"claim": claim, "folder": folder, "pushed": pushed, "dry_run": operation.settings.dry_run}
    operation.output.finish(result, text)


def push_from(
    operation: Operation, pod: Json, folder: str, seconds: float, sources: Sequence[Path], networks: bool
) -> list[str]:
    """Push what is not there, through a pod; returns the names of it."""
    root = f"{_ROOT}/{folder}"
    with running(operation, pod, seconds) as name:
        operation.cluster.execute(name, _CONTAINER, ["mkdir", "-p", root])
        units = plan(sources, sums_there(operation.cluster, name, _CONTAINER, root), networks)
        for unit in units:
            send(operation, name, root, unit)
            operation.output.tell(f"{unit.target} is there")
    return [unit.target for unit in units]


def send(operation: Operation, pod: str, root: str, unit: Unit) -> None:
    """Stream a unit to the pod, which keeps it only if every file arrives as it is here."""
    with tempfile.TemporaryFile() as archive:
        write_archive(archive, unit)
        size = archive.tell()
        archive.seek(0)
        command = ["sh", "-c", _TAKE, "push", root, unit.target, str(size)]
        operation.cluster.execute(pod, _CONTAINER, command, archive)


def push_pod(deployment: Json, claim: str, seconds: float) -> Json:
    """Return a pod of the server's own image that holds a claim, and ends by itself.

    Its name is the same each time, so that two pushes do not meet; it goes where the server's pods are, if it can, as
    a claim may be bound to their node.
    """
    template = deployment["spec"]["template"]
    server = server_of(template["spec"])
    component = "app.kubernetes.io/component"
    beside = {"topologyKey": "kubernetes.io/hostname", "labelSelector": deployment["spec"]["selector"]}
    container = {
        "name": _CONTAINER,
        "image": server["image"],
        "imagePullPolicy": server.get("imagePullPolicy", "IfNotPresent"),
        # As the first process it would not heed SIGTERM by itself.
        "command": ["sh", "-c", f"trap exit TERM; sleep {seconds:.0f} & wait"],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": server.get("securityContext", {}),
        "volumeMounts": [{"name": "claim", "mountPath": _ROOT}],
    }
    kept = ("serviceAccountName", "imagePullSecrets", "securityContext", "tolerations")
    spec = {
        **{name: template["spec"][name] for name in kept if name in template["spec"]},
        "affinity": {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": beside}]
            }
        },
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(seconds),
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}],
    }
    labels = {**template["metadata"]["labels"], component: "push"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{deployment['metadata']['name']}-push", "labels": labels},
        "spec": spec,
    }


def destination(deployment: Json, volume: str) -> tuple[str, str]:
    """Return the claim that a volume of the server's comes from and the folder in it; the claim is empty for others."""
    spec = deployment["spec"]["template"]["spec"]
    server = server_of(spec)
    sources = (one.get("persistentVolumeClaim") for one in spec.get("volumes", ()) if one["name"] == volume)
    claim = next((source["claimName"] for source in sources if source), "")
    folders = (one.get("subPath", "") for one in server.get("volumeMounts", ()) if one["name"] == volume)
    return claim, next(folders, "")


def no_claim(deployment: Json, networks: bool) -> str:
    """Return why there is nothing to push to, and what to do instead."""
    arguments = server_of(deployment["spec"]["template"]["spec"]).get("args", ())
    buckets = [one for one in arguments if one.startswith("--model-repository=") and "://" in one]
    if buckets and not networks:
        address = buckets[0].partition("=")[2]
        return f"the release reads its models from {address}; segops writes to claims: rclone copy --immutable does it."
    what = "networks" if networks else "models"
    key = "networks" if networks else "modelRepository"
    return f"the release has its {what} from its image, not from a claim: set {key}.type=pvc, or name a --claim."


def check_folder(folder: str) -> str:
    """Return a folder in a claim; raises UsageError for one outside."""
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts:
        raise click.UsageError(f"--folder {folder}: a path in the claim is wanted.")
    return "" if folder in ("", ".") else str(path)
