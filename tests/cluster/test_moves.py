"""Sessions outlive their pods: roll-outs, upgrades, kills, evictions and autoscaling, each under load."""

import json
import logging
import re
from pathlib import Path

import pytest
from lab.kubernetes import Kubectl
from lab.shell import CommandError, wait_until
from release import CHART, NAME, Release, name_of
from streams import Clip, Streams, check_all

log = logging.getLogger(__name__)


def test_roll_out_under_load_loses_nothing(release: Release, streams: Streams, camera: Clip, next_tag: str) -> None:
    release.install(replicas=2)
    old = [name_of(server) for server in release.pods()]
    running = streams.start(release.address, camera, count=8)
    release.wait_for_sessions(8)
    release.upgrade(image={**release.image, "tag": next_tag})
    release.wait_until_gone(*old)
    resumes = check_all(running)
    assert min(resumes) >= 1, "all old pods went, and so no session can have stayed where it was"


def test_upgrade_from_the_previous_chart_moves_live_sessions(
    release: Release, streams: Streams, camera: Clip, previous_chart: Path, next_tag: str
) -> None:
    release.chart = previous_chart
    release.install(replicas=2, token={"enabled": True})
    token = release.token
    old = [name_of(server) for server in release.pods()]
    running = streams.start(release.address, camera, "--token", token, count=2)
    release.wait_for_sessions(2)
    release.chart = CHART
    release.upgrade(image={**release.image, "tag": next_tag})
    assert release.token == token
    release.wait_until_gone(*old)
    assert min(check_all(running)) >= 1
    assert re.search(r"Phase:\s+Succeeded", release.test())


def test_killed_pod_costs_its_sessions_nothing(release: Release, streams: Streams, camera: Clip, here: Kubectl) -> None:
    release.install(replicas=2)
    running = streams.start(release.address, camera, count=4)
    release.wait_for_sessions(4)
    victim = max(release.active().items(), key=lambda entry: entry[1])[0]
    here("delete", "pod", victim, "--grace-period=0", "--force")
    # Half of the sessions, or more, were on that pod.
    wait_until(
        "two sessions have gone on elsewhere",
        lambda: sum(stream.moves for stream in running) >= 2,
        explain=lambda: "\n".join(stream.said for stream in running),
    )
    assert sum(check_all(running, are_told=False)) >= 2


def wait_until_one_may_go(here: Kubectl) -> None:
    """Waits until the budget has counted the pods."""
    wait_until(
        "a pod may be evicted",
        lambda: here.get("poddisruptionbudget", NAME)["status"].get("disruptionsAllowed", 0) == 1,
        explain=here.describe_trouble,
    )


def evict(here: Kubectl, name: str) -> None:
    """Asks for a pod's end as `kubectl drain` does for each pod of a node."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": here.namespace}}
    path = f"/api/v1/namespaces/{here.namespace}/pods/{name}/eviction"
    here("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_eviction_moves_sessions_and_takes_one_pod_at_a_time(
    release: Release, streams: Streams, camera: Clip, here: Kubectl
) -> None:
    release.install(replicas=2)
    running = streams.start(release.address, camera, count=4)
    release.wait_for_sessions(4)
    active = release.active()
    busy = max(active, key=lambda name: active[name])
    [other] = set(active) - {busy}
    wait_until_one_may_go(here)
    evict(here, busy)
    with pytest.raises(CommandError, match="disruption budget"):
        evict(here, other)
    release.wait_until_gone(busy)
    assert sum(check_all(running)) >= active[busy]
    release.wait_for_ready_pods(2)


def test_autoscaler_follows_the_sessions_and_cuts_none(
    release: Release, streams: Streams, camera: Clip, here: Kubectl, keda: None, prometheus: None
) -> None:
    autoscaling = {
        "kind": "keda",
        "maxReplicas": 3,
        "scaleUp": {"periodSeconds": 15},
        "scaleDown": {"stabilizationWindowSeconds": 15, "periodSeconds": 15},
        "keda": {"serverAddress": "http://prometheus.monitoring:9090", "pollingInterval": 5},
    }
    release.install(autoscaling=autoscaling, load={"capacityPerPod": 2, "slotsPerPod": 16})
    release.wait_for_ready_pods(1)
    [first] = release.ready_pods()
    running = streams.start(release.address, camera, count=4)
    log.info("1 pod became 3, all ready, in %.0f s", release.wait_for_ready_pods(3, timeout_seconds=150))
    # Kubernetes is to choose the pod that has all the sessions.
    here("annotate", "pod", name_of(first), "controller.kubernetes.io/pod-deletion-cost=-1")
    assert release.active()[name_of(first)] == 4
    for stream in running[1:]:
        stream.stop()
    log.info("3 pods became 1 in %.0f s", release.wait_for_ready_pods(1, timeout_seconds=150))
    release.wait_until_gone(name_of(first))
    assert min(check_all(running[:1])) >= 1
