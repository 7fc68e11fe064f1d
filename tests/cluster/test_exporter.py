"""The exporter of a release on a real cluster."""

import os
import re
import urllib.request
from collections.abc import Callable

import pytest
from lab import cluster
from lab.kubernetes import Json, Kubectl
from lab.settings import PYTHON_IMAGE, REPOSITORY
from lab.shell import run, wait_until
from release import NAME, Release, name_of

ADDRESS = re.compile(r'segtriton_probe_success{address="([^"]+)"')
SERVER_POD = re.compile(r'segtriton_probe_info{.*server_pod="([^"]+)"')


@pytest.fixture(scope="session")
def ops_image(registry: str, version: str, load_image: Callable[[str], str]) -> str:
    if cluster.given_kubeconfig() is None:
        build = {"REGISTRY": registry, "IMAGES": "ops", "BASE_IMAGE": PYTHON_IMAGE}
        run(REPOSITORY / "images" / "build", environment={**os.environ, **build}, timeout_seconds=1200)
    return load_image(f"{registry}/segtriton/ops:{version}")


def metrics_of(pod: Json) -> dict[str, float]:
    """The exporter's own page."""
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:9464/metrics", timeout=5) as reply:
        page = reply.read().decode()
    return {name: float(value) for name, value in re.findall(r"^(segtriton_.*) (\S+)$", page, re.MULTILINE)}


def test_the_exporter_streams_to_every_pod_and_through_the_service(
    release: Release, ops_image: str, here: Kubectl
) -> None:
    release.install(replicas=2, exporter={"enabled": True, "intervalSeconds": 5})
    [exporter] = here.items("pods", "-l", "app.kubernetes.io/component=exporter")
    addresses = {f"{pod['status']['podIP']}:8001" for pod in release.ready_pods()}
    service = f"{NAME}.{here.namespace}.svc:8001"

    def seen() -> tuple[dict[str, float], set[float], set[str]]:
        page = metrics_of(exporter)
        probes = {found[1]: value for name, value in page.items() if (found := ADDRESS.match(name))}
        statistics = {value for name, value in page.items() if name.startswith("segtriton_triton_statistics")}
        return probes, statistics, {found[1] for name in page if (found := SERVER_POD.match(name))}

    # With the key of the chart's own secret Triton tells its statistics.
    wanted = (dict.fromkeys({*addresses, service}, 1.0), {1.0}, {name_of(pod) for pod in release.pods()})
    wait_until(
        "the exporter has streamed to all pods",
        lambda: seen() == wanted,
        timeout_seconds=120,
        explain=lambda: f"seen: {seen()}, wanted: {wanted}",
    )
