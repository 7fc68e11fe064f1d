"""`segops preflight`: whether a cluster has what a release needs, each lack with its remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import click

from segtriton_ops.segops.context import Operation, pass_operation
from segtriton_ops.segops.kubernetes_api import Cluster, ClusterError, Json
from segtriton_ops.segops.output import table

OK, WARNING, FAILED = "ok", "warning", "failed"
_OLDEST = (1, 33)
_OLDEST_FOR_CLAIMS = (1, 34)
_OLDEST_FOR_IMAGES = (1, 35)
_DRIVER_LABEL = "nvidia.com/cuda.driver-version.full"
_GROUPS = {
    "keda": ("keda.sh", "scaled by KEDA", "install KEDA, or leave autoscaling.kind at none"),
    "prometheus": (
        "monitoring.coreos.com",
        "monitors and alerts",
        "install the Prometheus operator, or scrape by hand",
    ),
    "cert-manager": ("cert-manager.io", "certificates made by cert-manager", "install it, or set tls.existingSecret"),
    "gateway": ("gateway.networking.k8s.io", "a GRPCRoute", "install the Gateway API, or use service.type"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the release is to have."""

    accelerator: str
    gpu_resource: str
    gpus: int
    dra: bool
    memory_gib: float
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One check's result; `remedy` is empty where nothing is to be done."""

    name: str
    result: str
    found: str
    remedy: str = ""


@click.command()
@click.option("--accelerator", type=click.Choice(["gpu", "cpu"]), default="gpu", show_default=True)
@click.option("--gpu-resource", default="nvidia.com/gpu", show_default=True, help="The device plugin's resource.")
@click.option("--gpus", type=click.IntRange(1), default=1, show_default=True, help="GPUs that are to be free.")
@click.option("--dra", is_flag=True, help="GPUs come by dynamic resource allocation.")
@click.option("--memory-gib", type=float, default=0.0, show_default="16 on a GPU, 2 on a CPU", help="Memory of a pod.")
@click.option("--with", "parts", type=click.Choice(sorted(_GROUPS)), multiple=True, help="Also needed; repeatable.")
@pass_operation
def preflight(operation: Operation, /, memory_gib: float, **options: object) -> None:
    """Check that the cluster has what a release needs. Changes nothing; ends with 1 if something is missing."""
    memory = memory_gib or (16.0 if options["accelerator"] == "gpu" else 2.0)
    wanted = Wanted(memory_gib=memory, **options)  # type: ignore[arg-type]
    checks = [check for step in STEPS for check in guarded(step, operation.cluster, wanted)]
    rows = [(check.result, check.name, check.found, check.remedy) for check in checks]
    operation.output.finish([asdict(check) for check in checks], table(("", "CHECK", "FOUND", "DO"), rows))
    if any(check.result == FAILED for check in checks):
        raise click.exceptions.Exit(1)


Step = Callable[[Cluster, Wanted], Iterator[Check]]


def guarded(step: Step, cluster: Cluster, wanted: Wanted) -> list[Check]:
    """Return a step's checks; what the user may not read is a warning and no end."""
    try:
        return list(step(cluster, wanted))
    except ClusterError as error:
        if not error.status:
            raise
        name = step.__name__.removeprefix("check_").replace("_", " ")
        return [Check(name, WARNING, str(error), "run it with the rights of rbac/preflight.yaml")]


def check_version(cluster: Cluster, wanted: Wanted) -> Iterator[Check]:
    """Check the version of Kubernetes, and what newer ones can do."""
    told = cluster.get("/version")
    version = (int(told["major"]), int(re.sub(r"\D", "", told["minor"])))
    remedy = f"upgrade to {_OLDEST[0]}.{_OLDEST[1]}"
    yield _judge("Kubernetes", version >= _OLDEST, told["gitVersion"], remedy)
    if wanted.dra:
        found = told["gitVersion"]
        yield _judge(
            "resource claims", version >= _OLDEST_FOR_CLAIMS, found, "gpu.mode=devicePlugin, or upgrade to 1.34"
        )
    if version < _OLDEST_FOR_IMAGES:
        remedy = "do not use type image for models or networks without the feature gate ImageVolume"
        yield Check("image volumes", WARNING, "not on by default", remedy)


def check_groups(cluster: Cluster, wanted: Wanted) -> Iterator[Check]:
    """Check the custom resources, needed or not."""
    known = {group["name"] for group in cluster.get("/apis")["groups"]}
    for part, (group, purpose, remedy) in _GROUPS.items():
        if group in known:
            yield Check(part, OK, f"{group} is there: {purpose}")
        elif part in wanted.parts:
            yield Check(part, FAILED, f"{group} is not there", remedy)
        else:
            yield Check(part, OK, f"{group} is not there, and not asked for")


def check_nodes(cluster: Cluster, wanted: Wanted) -> Iterator[Check]:
    """Check nodes, their memory and their GPUs."""
    nodes = [node for node in cluster.items("/api/v1/nodes") if _is_usable(node)]
    yield _judge("nodes", bool(nodes), f"{len(nodes)} take pods", "uncordon one, or see kubectl describe node")
    most = max((_gib(node["status"]["allocatable"]["memory"]) for node in nodes), default=0.0)
    remedy = "lower resources.limits.memory and shm.size, or add a larger node"
    yield _judge("memory", most >= wanted.memory_gib, f"{most:.1f} GiB on the largest node", remedy)
    if wanted.accelerator == "gpu" and not wanted.dra:
        yield from check_gpus(cluster, wanted, nodes)


def check_gpus(cluster: Cluster, wanted: Wanted, nodes: list[Json]) -> Iterator[Check]:
    """Check that enough GPUs are there and free, and what the nodes say of their drivers."""
    resource = wanted.gpu_resource
    there = sum(int(node["status"]["allocatable"].get(resource, 0)) for node in nodes)
    remedy = "install NVIDIA's GPU operator or device plugin, name another resource, or use --accelerator cpu"
    yield _judge("GPUs", there >= wanted.gpus, f"{there} of {resource} on all nodes", remedy)
    taken = sum(_requested(pod, resource) for pod in cluster.items("/api/v1/pods"))
    free = there - taken
    remedy = "free some, add a node, or set rollout.preset=gpuScarce"
    yield _judge("free GPUs", free >= wanted.gpus, f"{free} of {there}", remedy)
    drivers = {node["metadata"]["labels"].get(_DRIVER_LABEL, "") for node in nodes} - {""}
    if drivers:
        yield Check("drivers", OK, ", ".join(sorted(drivers)))
    else:
        yield Check(
            "drivers", WARNING, f"no node has the label {_DRIVER_LABEL}", "see nvidia-smi on the nodes: 525 or newer"
        )
    classes = {found["metadata"]["name"] for found in cluster.items("/apis/node.k8s.io/v1/runtimeclasses")}
    if "nvidia" in classes:
        yield Check("capability video", OK, "runtime class nvidia; the chart asks for compute, utility and video")
    else:
        remedy = "if pods do not decode on the GPU, let the container runtime heed NVIDIA_DRIVER_CAPABILITIES"
        yield Check("capability video", WARNING, "no runtime class nvidia; it may be the nodes' default", remedy)


def check_device_classes(cluster: Cluster, wanted: Wanted) -> Iterator[Check]:
    """Check the classes of dynamic resource allocation."""
    if wanted.dra:
        found = [one["metadata"]["name"] for one in cluster.find("/apis/resource.k8s.io/v1/deviceclasses")]
        remedy = "install NVIDIA's DRA driver, or set gpu.mode=devicePlugin"
        yield _judge("device classes", bool(found), ", ".join(found) or "none", remedy)


def check_storage(cluster: Cluster, wanted: Wanted) -> Iterator[Check]:
    """Check for a default storage class, which only claims need."""
    classes = cluster.items("/apis/storage.k8s.io/v1/storageclasses")
    marks = "storageclass.kubernetes.io/is-default-class"
    default = [one for one in classes if one["metadata"].get("annotations", {}).get(marks) == "true"]
    names = ", ".join(one["metadata"]["name"] for one in classes) or "none"
    remedy = "" if default else "name a class in claims for models or caches; none is needed otherwise"
    yield Check("storage classes", OK if default else WARNING, names, remedy)


def check_namespace(cluster: Cluster, wanted: Wanted) -> Iterator[Check]:
    """Check the namespace, its Pod Security and its quotas."""
    try:
        labels = cluster.get(f"/api/v1/namespaces/{cluster.namespace}")["metadata"].get("labels", {})
    except ClusterError as error:
        remedy = "helm install --create-namespace"
        yield Check("namespace", WARNING, str(error), remedy)
        return
    level = labels.get("pod-security.kubernetes.io/enforce", "nothing")
    yield Check("namespace", OK, f"{cluster.namespace} enforces {level}; the chart keeps to restricted")
    quotas = [quota["metadata"]["name"] for quota in cluster.items(cluster.path("resourcequotas"))]
    if quotas:
        yield Check("quotas", WARNING, ", ".join(quotas), "see kubectl describe quota: pods count with shared memory")


STEPS: tuple[Step, ...] = (
    check_version,
    check_groups,
    check_nodes,
    check_device_classes,
    check_storage,
    check_namespace,
)


def _judge(name: str, is_good: bool, found: str, remedy: str) -> Check:
    return Check(name, OK, found) if is_good else Check(name, FAILED, found, remedy)


def _is_usable(node: Json) -> bool:
    conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
    return conditions.get("Ready") == "True" and not node["spec"].get("unschedulable")


def _requested(pod: Json, resource: str) -> int:
    if pod["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    containers = pod["spec"]["containers"]
    return sum(int(one.get("resources", {}).get("limits", {}).get(resource, 0)) for one in containers)


def _gib(quantity: str) -> float:
    """Return a node's memory, which the kubelet gives in bytes or in Ki, Mi or Gi."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi|)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[unit] / (1 << 30)
