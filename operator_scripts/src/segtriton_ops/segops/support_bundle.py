"""`segops support-bundle`: everything that helps somebody else to understand a release, in one file, redacted."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from segtriton_client.errors import OutputError
from segtriton_client.system_errors import writing
from segtriton_client.unfinished_file import UnfinishedFile, check_writable
from segtriton_ops.segops.context import Operation, pass_operation
from segtriton_ops.segops.kubernetes_api import Cluster, ClusterError, Json
from segtriton_ops.segops.redaction import redact_object, redact_text
from segtriton_ops.segops.release import METRICS_PORT
from segtriton_ops.segops.status import describe, read_status

_EXPORTER_PORT = 9464
# No secrets: nobody needs the right to read them for this.
_KINDS = (
    ("deployments", "apps/v1"),
    ("replicasets", "apps/v1"),
    ("services", ""),
    ("networkpolicies", "networking.k8s.io/v1"),
    ("poddisruptionbudgets", "policy/v1"),
    ("horizontalpodautoscalers", "autoscaling/v2"),
    ("scaledobjects", "keda.sh/v1alpha1"),
    ("podmonitors", "monitoring.coreos.com/v1"),
    ("prometheusrules", "monitoring.coreos.com/v1"),
)

File = tuple[str, str]


@click.command("support-bundle")
@click.option(
    "-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="Where to.", show_default="NAME-DATE.tar.gz"
)
@click.option("--lines", type=click.IntRange(1), default=5000, show_default=True, help="Last lines of each log.")
@pass_operation
def support_bundle(operation: Operation, file: Path | None, lines: int) -> None:
    """Collect logs, metrics, objects and events of the release into one file, without secrets."""
    settings = operation.settings
    stem = time.strftime(f"segtriton-{settings.release}-%Y%m%d-%H%M%S")
    target = file or Path(f"{stem}.tar.gz")
    if not settings.dry_run:
        _check(target)
    files = [*collect(operation, lines)]
    if not settings.dry_run:
        write_bundle(target, stem, files)
    result = {"file": str(target), "dry_run": settings.dry_run, "contents": [name for name, _ in files]}
    dry = " (dry run: nothing is written)" if settings.dry_run else ""
    operation.output.finish(result, f"{target}: {len(files)} files{dry}; read it before you hand it on.")


def collect(operation: Operation, lines: int) -> Iterator[File]:
    """Give the files of a bundle; what cannot be read is a file that says why."""
    cluster, name = operation.cluster, operation.settings.release
    found = read_status(operation.release)
    yield "status.txt", describe(found)
    yield "status.json", _dump(found)
    yield "version.json", _dump(cluster.get("/version"))
    selector = f"app.kubernetes.io/instance={name}"
    for kind, group in _KINDS:
        yield f"objects/{kind}.json", _read_list(cluster, cluster.path(kind, group=group), labelSelector=selector)
    yield "events.json", _read_list(cluster, cluster.path("events"))
    yield "nodes.json", _read_list(cluster, "/api/v1/nodes")
    for pod in cluster.items(cluster.path("pods"), labelSelector=selector):
        yield from collect_pod(cluster, pod, lines)


def collect_pod(cluster: Cluster, pod: Json, lines: int) -> Iterator[File]:
    """Give what one pod has: itself, its logs, the logs of containers that ended, its metrics."""
    name = pod["metadata"]["name"]
    yield f"pods/{name}/pod.json", _dump(redact_object(pod))
    for container in pod["status"].get("containerStatuses", ()):
        yield f"pods/{name}/{container['name']}.log", _read_log(cluster, name, container["name"], lines, previous=False)
        if container.get("restartCount"):
            log = _read_log(cluster, name, container["name"], lines, previous=True)
            yield f"pods/{name}/{container['name']}.previous.log", log
    component = pod["metadata"]["labels"].get("app.kubernetes.io/component", "")
    port = {"server": METRICS_PORT, "exporter": _EXPORTER_PORT}.get(component)
    if port:
        yield f"pods/{name}/metrics.txt", _read_page(cluster, name, port)


def _check(target: Path) -> None:
    """Raise ClickException where a bundle cannot be written, before the cluster is asked."""
    try:
        check_writable(target)
    except OutputError as error:
        raise click.ClickException(str(error)) from None


def write_bundle(target: Path, stem: str, files: list[File]) -> None:
    """Write a tar file, readable by its owner only; raises ClickException where that is not possible."""
    try:
        with UnfinishedFile(target) as bundle, writing(target):
            if not bundle.is_stream:
                bundle.written.chmod(0o600)
            with tarfile.open(bundle.written, "w:gz") as archive:
                for name, text in files:
                    content = text.encode()
                    entry = tarfile.TarInfo(f"{stem}/{name}")
                    entry.size, entry.mtime = len(content), int(time.time())
                    archive.addfile(entry, io.BytesIO(content))
            bundle.commit()
    except OutputError as error:
        raise click.ClickException(str(error)) from None


def _read_log(cluster: Cluster, pod: str, container: str, lines: int, *, previous: bool) -> str:
    try:
        return redact_text(cluster.read_log(pod, container, lines=lines, previous=previous))
    except ClusterError as error:
        return f"not read: {error}\n"


def _read_page(cluster: Cluster, pod: str, port: int) -> str:
    try:
        return cluster.read_page(pod, port, "/metrics")
    except ClusterError as error:
        return f"not read: {error}\n"


def _read_list(cluster: Cluster, path: str, **query: str) -> str:
    try:
        return _dump(redact_object(cluster.find(path, **query)))
    except ClusterError as error:
        return f"not read: {error}\n"


def _dump(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"
