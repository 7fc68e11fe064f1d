"""What a cluster in real life has besides Kubernetes: autoscaling by KEDA, metrics by Prometheus, custom resources."""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab import cluster, images, packages
from lab.kubernetes import Kubectl
from lab.packages import search_path
from lab.schemas import CRD
from lab.settings import MANIFESTS
from lab.toolchain import BY_NAME, build, command, data_modules, fetch

log = logging.getLogger(__name__)

KEDA_PARTS = ("crd", "general", "rbac", "manager", "metrics-server", "service_account")
# Image of the manifests, program of ours, name in the image.
KEDA_IMAGES = (
    ("ghcr.io/kedacore/keda", "operator", "keda"),
    ("ghcr.io/kedacore/keda-metrics-apiserver", "adapter", "keda-adapter"),
)
CRD_MODULES = ("gateway-api", "prometheus-operator", "cert-manager", "envoy-gateway")


def add_keda(kubectl: Kubectl) -> None:
    """KEDA's operator and metrics server, built here, with the manifests of the same version."""
    programs = build(BY_NAME["keda"])
    local = {}
    for image, program, name in KEDA_IMAGES:
        local[image] = f"localhost/segtriton/{name}:{images.tag_of(programs / program)}"
        images.make_program_image(local[image], programs / program, name)
        cluster.load_image(local[image])
    with tempfile.TemporaryDirectory() as folder:
        write_keda_manifests(Path(folder), local)
        # KEDA's definitions are too long for the annotation in which a client keeps what it applied.
        kubectl("apply", "--server-side", "--force-conflicts", "-k", folder)
    keda = kubectl.in_namespace("keda")
    for deployment in ("keda-operator", "keda-metrics-apiserver"):
        keda.wait_for_rollout(f"deployment/{deployment}", timeout_seconds=180)
    kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io", "--timeout=60s")


def write_keda_manifests(folder: Path, local: dict[str, str]) -> None:
    """A kustomization of the module's own manifests with the images replaced."""
    source = fetch("keda") / "config"
    for part in KEDA_PARTS:
        shutil.copytree(source / part, folder / part, copy_function=shutil.copyfile)
        # The copies of a read-only cache must be removable.
        for path in [folder / part, *(folder / part).rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    replaced = [
        {"name": name, "newName": to.rpartition(":")[0], "newTag": to.rpartition(":")[2]} for name, to in local.items()
    ]
    present = {"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "IfNotPresent"}
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(KEDA_PARTS),
        "images": replaced,
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps([present])}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(content))


def add_prometheus(kubectl: Kubectl) -> None:
    """A Prometheus that scrapes every pod of the chart; `http://prometheus.monitoring:9090` inside the cluster."""
    packages.ensure(packages.PROMETHEUS)
    prometheus = Path(shutil.which("prometheus", path=search_path()) or "prometheus")
    finder = command("pod-targets")
    local = {
        "PROMETHEUS_IMAGE": f"localhost/segtriton/prometheus:{prometheus.stat().st_mtime_ns}",
        "POD_TARGETS_IMAGE": f"localhost/segtriton/pod-targets:{images.tag_of(finder)}",
    }
    manifest = (MANIFESTS / "prometheus.yaml").read_text()
    for (place, image), program in zip(local.items(), (prometheus, finder), strict=True):
        images.make_program_image(image, program, program.name)
        cluster.load_image(image)
        manifest = manifest.replace(place, image)
    kubectl("apply", "-f", "-", stdin=manifest)
    kubectl.in_namespace("monitoring").wait_for_rollout("deployment/prometheus")


def add_crds(kubectl: Kubectl) -> None:
    """Custom resources that the chart can make, without what acts on them; KEDA's come with KEDA."""
    for name in CRD_MODULES:
        folder = fetch(name) / data_modules()[name].folder
        files = [path for path in sorted(folder.glob("*.yaml")) if f"kind: {CRD}" in path.read_text()]
        kubectl.apply_files(*files, server_side=True)
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


ADD_ONS: dict[str, Callable[[Kubectl], None]] = {
    "crds": add_crds,
    "keda": add_keda,
    "prometheus": add_prometheus,
}
