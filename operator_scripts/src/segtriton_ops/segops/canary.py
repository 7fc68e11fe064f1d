"""A pod of a new version beside the release's own, which nobody but segops talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import median, quantiles

from segtriton_client.probe_result import ProbeResult
from segtriton_ops.exporter.observer import Observer
from segtriton_ops.segops.forwarding import Forwarding
from segtriton_ops.segops.kubernetes_api import Cluster, Json
from segtriton_ops.segops.release import SERVER

GRPC_PORT = 8001
_P95 = 94
_COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Synthetic sessions of one pod: how many were whole, their median p95 in seconds, and the server's version."""

    sessions: int
    whole: int
    p95: float | None
    server: str
    failures: tuple[str, ...]

    @classmethod
    def of(cls, results: Sequence[ProbeResult]) -> Judgement:
        """Judge the results of a pod's sessions."""
        slow = [quantiles(one.latencies, n=100, method="inclusive")[_P95] for one in results if len(one.latencies) > 1]
        servers = [one.info.server for one in results if one.info]
        return cls(
            sessions=len(results),
            whole=sum(one.success for one in results),
            p95=median(slow) if slow else None,
            server=servers[0] if servers else "",
            failures=tuple(f"{one.code}: {one.message}" for one in results if not one.success),
        )

    def worse_than(self, other: Judgement, times: float, seconds: float) -> str:
        """Return why this pod must not replace the other, empty if it may: it is late by `times` and by `seconds`."""
        if self.whole < self.sessions:
            return f"{self.sessions - self.whole} of {self.sessions} sessions failed ({self.failures[0]})"
        if self.p95 is not None and other.p95 is not None and self.p95 > max(times * other.p95, other.p95 + seconds):
            return f"its p95 is {1000 * self.p95:.0f} ms, that of the running pods {1000 * other.p95:.0f} ms"
        return ""


def canary_of(deployment: Json, image: str) -> Json:
    """Return the pod that a deployment would make of a new image, with a label that no Service selects."""
    template = deepcopy(deployment["spec"]["template"])
    name = f"{deployment['metadata']['name']}-canary"
    labels = {**template["metadata"]["labels"], _COMPONENT: "canary"}
    metadata = {"name": name, "labels": labels, "annotations": template["metadata"].get("annotations", {})}
    spec = {**template["spec"], "restartPolicy": "Never"}
    for container in spec["containers"]:
        if container["name"] == SERVER:
            container["image"] = image
    # The spread is counted over the server's pods, of which this is none.
    spec.pop("topologySpreadConstraints", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def judge(cluster: Cluster, observer: Observer, pod: str, server_name: str, sessions: int) -> Judgement:
    """Stream synthetic sessions to a pod, one after the other."""

    async def look(address: str) -> list[ProbeResult]:
        return [(await observer.look(address, server_name)).probe for _ in range(sessions)]

    with Forwarding(cluster, pod, GRPC_PORT) as address:
        return Judgement.of(asyncio.run(look(address)))
