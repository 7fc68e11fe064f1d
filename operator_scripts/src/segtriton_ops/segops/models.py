"""`segops models`: what pods serve, whether the files are those that were meant, and new ones for them to serve."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
from prometheus_client.parser import text_string_to_metric_families

from segtriton_ops.segops.context import Operation, pass_operation
from segtriton_ops.segops.kubernetes_api import Cluster, ClusterError, Json
from segtriton_ops.segops.model_files import (
    Sums,
    manifests_there,
    models_of,
    parse_sums,
    sums_here,
    sums_there,
    versions_of,
)
from segtriton_ops.segops.model_push import push
from segtriton_ops.segops.output import table
from segtriton_ops.segops.release import METRICS_PORT, SERVER, server_of, state_of

_REPOSITORY = "--model-repository="
_BAD = ("changed", "missing")


@click.group()
def models() -> None:
    """List and verify models and networks, and push new versions to a claim."""


models.add_command(push)


@models.command("list")
@pass_operation
def list_models(operation: Operation) -> None:
    """Show which versions each pod serves, and which its model repository has."""
    found = [model for pod in running_pods(operation) for model in look_at_models(operation.cluster, pod)]
    rows = [
        (one["pod"], one["model"], numbers(one["serves"]), numbers(one["versions"]), one["files"], one["repository"])
        for one in found
    ]
    text = table(("POD", "MODEL", "SERVES", "THERE", "FILES", "REPOSITORY"), rows)
    operation.output.finish(found, text)


@models.command()
@click.argument("sources", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@pass_operation
def verify(operation: Operation, sources: tuple[Path, ...]) -> None:
    """Compare the files in each pod with their checksums.

    Networks are compared with the sums in the server's code, models with the manifests that `push` has left beside
    them, or with SOURCES: folders of models on this machine.
    """
    folders = {source.resolve().name: sums_here(source) for source in sources}
    wanted = {f"{model}/{path}": digest for model, sums in folders.items() for path, digest in sums.items()}
    found = [result for pod in running_pods(operation) for result in verify_pod(operation.cluster, pod, wanted)]
    columns = ("pod", "folder", "file", "result")
    rows = [[one[name] for name in columns] for one in found]
    operation.output.finish(found, table([name.upper() for name in columns], rows))
    results = Counter(one["result"] for one in found)
    if results["unknown"]:
        operation.output.tell(f"{results['unknown']} files have no checksum to compare with; name folders of models.")
    if any(results[name] for name in _BAD):
        raise click.ClickException(
            f"{results['changed']} files are changed, {results['missing']} are missing: push good ones under another "
            "version, or into another folder, then restart the pods."
        )


def running_pods(operation: Operation) -> list[Json]:
    """Return the release's pods whose server runs; raises ClickException where there is none."""
    pods = operation.cluster.items(operation.cluster.path("pods"), labelSelector=operation.release.selector)
    running = [pod for pod in pods if state_of(pod) in ("Ready", "NotReady")]
    if not running:
        raise click.ClickException("no pod of the release runs; see segops status.")
    return sorted(running, key=lambda pod: str(pod["metadata"]["name"]))


def look_at_models(cluster: Cluster, pod: Json) -> list[Json]:
    """Return the models that a pod serves or has."""
    name, address = pod["metadata"]["name"], repository_of(pod)
    serves = read_served(cluster.read_page(name, METRICS_PORT, "/metrics"))
    sums = {} if is_bucket(address) else sums_there(cluster, name, SERVER, address)
    return [
        {
            "pod": name,
            "model": model,
            "serves": serves.get(model, []),
            "versions": versions_of(sums, model),
            "files": sum(path.startswith(f"{model}/") for path in sums),
            "repository": address,
        }
        for model in sorted({*serves, *models_of(sums)})
    ]


def read_served(page: str) -> dict[str, list[int]]:
    """Return the versions of each model that Triton counts requests of, which are those it has loaded."""
    served: defaultdict[str, set[int]] = defaultdict(set)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.startswith("nv_inference_") and {"model", "version"} <= {*sample.labels}:
                served[sample.labels["model"]].add(int(sample.labels["version"]))
    return {model: sorted(versions) for model, versions in served.items()}


def verify_pod(cluster: Cluster, pod: Json, wanted: Sums) -> Iterator[Json]:
    """Give what has become of each file of a pod's models and networks: ok, changed, missing or unknown."""
    name, address = pod["metadata"]["name"], repository_of(pod)
    if not is_bucket(address):
        expected = {**manifests_there(cluster, name, SERVER, address), **wanted}
        yield from compare(name, address, sums_there(cluster, name, SERVER, address), expected)
    networks = cluster.execute(name, SERVER, ["printenv", "SEGTRITON_NETWORKS"]).strip()
    pins = parse_sums(cluster.execute(name, SERVER, ["python3", "-m", "segtriton_server.launch.pins"]))
    there = sums_there(cluster, name, SERVER, networks)
    # A pod has the networks that it needs, and no others.
    yield from compare(name, networks, there, {path: digest for path, digest in pins.items() if path in there})


def compare(pod: str, folder: str, there: Sums, wanted: Sums) -> Iterator[Json]:
    """Give each file's result."""
    for path in sorted({*there, *wanted}):
        result = "ok" if there.get(path) == wanted.get(path) else "changed"
        if path not in there:
            result = "missing"
        elif path not in wanted:
            result = "unknown"
        yield {"pod": pod, "folder": folder, "file": path, "result": result}


def repository_of(pod: Json) -> str:
    """Return where a pod's Triton reads its models from."""
    for argument in server_of(pod["spec"]).get("args", ()):
        if argument.startswith(_REPOSITORY):
            return str(argument.removeprefix(_REPOSITORY))
    raise ClusterError(f"{pod['metadata']['name']} has no argument {_REPOSITORY}; is it of this chart?")


def is_bucket(address: str) -> bool:
    """Return whether a repository lies in a cloud, where no pod sees its files."""
    return "://" in address


def numbers(versions: list[int]) -> str | None:
    """Return versions as a person reads them."""
    return ", ".join(map(str, versions)) or None
