"""One release of the chart: its deployment, its pods and what they tell, and whoever scales it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from segtriton_ops.segops.kubernetes_api import AbsentError, Cluster, ClusterError, Json

METRICS_PORT = 8002
SERVER = "triton"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_APPS = "apps/v1"


@dataclass(frozen=True, slots=True)
class ServerPod:
    """A pod of the release; `sessions` and `slots` are None where it does not tell, and `problem` says why."""

    name: str
    state: str
    node: str = ""
    address: str = ""
    image: str = ""
    restarts: int = 0
    sessions: int | None = None
    slots: int | None = None
    problem: str = ""
    gauges: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> Json:
        """Return what a script reads."""
        known = {"name": self.name, "state": self.state, "node": self.node, "address": self.address}
        counts = {"restarts": self.restarts, "sessions": self.sessions, "slots": self.slots}
        return {**known, "image": self.image, **counts, "problem": self.problem}


class Release:
    """A release by its name; raises ClusterError where there is none."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.selector = f"app.kubernetes.io/instance={name},app.kubernetes.io/component=server"

    def deployment(self) -> Json:
        """Return the deployment of the server's pods."""
        path = self.cluster.path("deployments", group=_APPS)
        found = self.cluster.items(path, labelSelector=self.selector)
        if len(found) != 1:
            where = f"namespace {self.cluster.namespace}"
            raise ClusterError(f"{where} has {len(found)} deployments of release {self.name}; name it with --release.")
        return found[0]

    def pods(self) -> list[ServerPod]:
        """Return its pods with what their metrics tell, in order of their names."""
        found = self.cluster.items(self.cluster.path("pods"), labelSelector=self.selector)
        with ThreadPoolExecutor(8) as pool:
            return sorted(pool.map(self.read_pod, found), key=lambda pod: pod.name)

    def find_pod(self, name: str) -> ServerPod | None:
        """Return one pod, None once it is gone."""
        with contextlib.suppress(AbsentError):
            return self.read_pod(self.cluster.get(self.cluster.path("pods", name)))
        return None

    def autoscaler(self) -> str:
        """Return the name of what scales the deployment, empty where nothing does."""
        target = self.deployment()["metadata"]["name"]
        scaled = self.cluster.find(self.cluster.path("scaledobjects", group="keda.sh/v1alpha1"))
        classic = self.cluster.find(self.cluster.path("horizontalpodautoscalers", group="autoscaling/v2"))
        for kind, objects in (("ScaledObject", scaled), ("HorizontalPodAutoscaler", classic)):
            for found in objects:
                if found["spec"]["scaleTargetRef"]["name"] == target:
                    return f"{kind} {found['metadata']['name']}"
        return ""

    def read_pod(self, pod: Json) -> ServerPod:
        """Return a pod with what its metrics tell, if it runs."""
        status, metadata = pod["status"], pod["metadata"]
        containers = {container["name"]: container for container in status.get("containerStatuses", ())}
        server = containers.get(SERVER, {})
        known: dict[str, Any] = {
            "name": metadata["name"],
            "state": state_of(pod),
            "node": pod["spec"].get("nodeName", ""),
            "address": status.get("podIP", ""),
            "image": server_of(pod["spec"])["image"],
            "restarts": server.get("restartCount", 0),
        }
        if "running" not in server.get("state", {}):
            return ServerPod(**known, problem=problem_of(pod, server))
        try:
            gauges = read_gauges(self.cluster.read_page(metadata["name"], METRICS_PORT, "/metrics"))
        except ClusterError as error:
            return ServerPod(**known, problem=str(error))
        if gauges.get("segtriton_draining"):
            known["state"] = "Draining"
        sessions, slots = (_count(gauges, f"segtriton_{name}") for name in ("active_streams", "stream_slots"))
        return ServerPod(**known, sessions=sessions, slots=slots, gauges=gauges)


def server_of(spec: Json) -> Json:
    """Return the server's container of a pod's spec."""
    found: Json = next(one for one in spec["containers"] if one["name"] == SERVER)
    return found


def state_of(pod: Json) -> str:
    """Return one word: Draining, Ready, NotReady, or the phase of a pod that does not run."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Draining"
    phase: str = pod["status"].get("phase", "Unknown")
    if phase != "Running":
        return phase
    conditions = {condition["type"]: condition["status"] for condition in pod["status"].get("conditions", ())}
    return "Ready" if conditions.get("Ready") == "True" else "NotReady"


def problem_of(pod: Json, server: Json) -> str:
    """Return why a container does not run, in Kubernetes' words."""
    waiting = server.get("state", {}).get("waiting") or server.get("state", {}).get("terminated") or {}
    if waiting:
        return ": ".join(filter(None, (waiting.get("reason", ""), waiting.get("message", ""))))
    conditions = pod["status"].get("conditions", ())
    return next((condition.get("message", "") for condition in conditions if condition["status"] != "True"), "")


def read_gauges(page: str) -> dict[str, float]:
    """Return the gauges of a metrics page that have no labels, by name."""
    families = text_string_to_metric_families(page)
    samples = (sample for family in families if family.type == "gauge" for sample in family.samples)
    return {sample.name: sample.value for sample in samples if not sample.labels}


def _count(gauges: Mapping[str, float], name: str) -> int | None:
    return int(gauges[name]) if name in gauges else None
