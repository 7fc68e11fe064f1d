from __future__ import annotations

from typing import Any

import pytest

from segtriton_ops.segops.kubernetes_api import ClusterError
from segtriton_ops.segops.preflight import FAILED, OK, STEPS, WARNING, Check, Wanted, guarded

NODE: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"nvidia.com/cuda.driver-version.full": "550.54"}},
    "spec": {},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}],
        "allocatable": {"memory": "33554432Ki", "nvidia.com/gpu": "2"},
    },
}
TAKEN = {"status": {"phase": "Running"}, "spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}


class Told:
    """A cluster that tells what the test says."""

    namespace = "video"

    def __init__(self, **changes: Any) -> None:
        self.answers: dict[str, Any] = {
            "/version": {"major": "1", "minor": "35+", "gitVersion": "v1.35.4"},
            "/apis": {"groups": [{"name": "keda.sh"}]},
            "/api/v1/nodes": [NODE],
            "/api/v1/pods": [TAKEN],
            "/apis/node.k8s.io/v1/runtimeclasses": [{"metadata": {"name": "nvidia"}}],
            "/apis/storage.k8s.io/v1/storageclasses": [],
            "/apis/resource.k8s.io/v1/deviceclasses": [],
            "/api/v1/namespaces/video": {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
            "/api/v1/namespaces/video/resourcequotas": [],
        }
        self.answers |= {f"/{name}": answer for name, answer in changes.items()}

    def get(self, path: str) -> Any:
        answer = self.answers[path]
        if isinstance(answer, ClusterError):
            raise answer
        return answer

    items = find = get

    def path(self, kind: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}"


def run(cluster: Told, **changes: Any) -> dict[str, Check]:
    known = {"accelerator": "gpu", "gpu_resource": "nvidia.com/gpu", "gpus": 1, "dra": False, "memory_gib": 16.0}
    wanted = Wanted(**{**known, "parts": (), **changes})
    return {check.name: check for step in STEPS for check in guarded(step, cluster, wanted)}


def test_a_cluster_that_has_everything_passes() -> None:
    checks = run(Told())
    assert {check.result for check in checks.values()} <= {OK, WARNING}
    assert checks["free GPUs"].found == "1 of 2"
    assert checks["drivers"].found == "550.54"
    assert checks["storage classes"].result == WARNING


@pytest.mark.parametrize(
    ("name", "cluster", "wanted", "words"),
    [
        ("Kubernetes", Told(version={"major": "1", "minor": "32", "gitVersion": "v1.32.0"}), {}, "upgrade to 1.33"),
        ("GPUs", Told(), {"gpus": 3}, "GPU operator"),
        ("free GPUs", Told(), {"gpus": 2}, "rollout.preset=gpuScarce"),
        ("memory", Told(), {"memory_gib": 64.0}, "larger node"),
        ("cert-manager", Told(), {"parts": ("cert-manager",)}, "tls.existingSecret"),
        ("device classes", Told(), {"dra": True}, "gpu.mode=devicePlugin"),
    ],
)
def test_what_is_missing_fails_with_a_remedy(name: str, cluster: Told, wanted: dict[str, Any], words: str) -> None:
    check = run(cluster, **wanted)[name]
    assert check.result == FAILED
    assert words in check.remedy


def test_nodes_that_take_no_pods_do_not_count() -> None:
    cluster = Told()
    cluster.answers["/api/v1/nodes"] = [{**NODE, "spec": {"unschedulable": True}}]
    checks = run(cluster)
    assert checks["nodes"].result == checks["GPUs"].result == FAILED


def test_a_cpu_release_asks_for_no_gpu() -> None:
    assert not [name for name in run(Told(), accelerator="cpu", memory_gib=2.0) if "GPU" in name]


def test_what_may_not_be_read_is_a_warning_and_no_end() -> None:
    cluster = Told()
    cluster.answers["/api/v1/nodes"] = ClusterError("nodes is forbidden", 403)
    checks = run(cluster)
    assert checks["nodes"] == Check(
        "nodes", WARNING, "nodes is forbidden", "run it with the rights of rbac/preflight.yaml"
    )
    assert checks["namespace"].result == OK


def test_a_cluster_that_does_not_answer_is_an_end() -> None:
    cluster = Told(version=ClusterError("no answer"))
    with pytest.raises(ClusterError, match="no answer"):
        run(cluster)
