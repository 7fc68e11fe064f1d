"""The cluster that all tests of this folder share: the lab's own, or the one that KUBECONFIG names."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import addons, cluster, images
from lab.kubernetes import Helm, Kubectl
from lab.settings import KUBECONFIG, PYTHON_IMAGE


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """Where the cluster is; `make test-cluster` starts one if need be."""
    given = Path(os.environ.get("KUBECONFIG") or KUBECONFIG)
    if not given.exists():
        pytest.fail("no cluster is up; run the tests with `make test-cluster`, or start one with `make cluster-up`")
    return given


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    """kubectl for things outside namespaces."""
    return Kubectl(kubeconfig)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A fresh namespace that admits only what is restricted; gone with all that is in it when the test ends."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    kubectl("delete", "namespace", name, "--wait=true", "--timeout=180s", timeout_seconds=200)


@pytest.fixture
def here(kubectl: Kubectl, namespace: str) -> Kubectl:
    """kubectl in the test's namespace."""
    return kubectl.in_namespace(namespace)


@pytest.fixture(params=[3, 4], ids=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, kubeconfig: Path, namespace: str) -> Helm:
    """Helm in the test's namespace; a test that takes it runs once with each major version."""
    return Helm(kubeconfig, namespace, request.param)


@pytest.fixture
def helm3(kubeconfig: Path, namespace: str) -> Helm:
    """Helm 3 in the test's namespace, for tests that need not know of Helm 4."""
    return Helm(kubeconfig, namespace, 3)


@pytest.fixture(scope="session")
def load_image(kubeconfig: Path) -> Callable[[str], str]:
    """Brings an image into the lab's node and returns its name; other clusters must be able to pull it."""

    def load(image: str) -> str:
        if cluster.given_kubeconfig() is None:
            cluster.load_image(image)
        return image

    return load


@pytest.fixture(scope="session")
def python_image(load_image: Callable[[str], str]) -> str:
    """An image with Python, for pods that help a test."""
    if cluster.given_kubeconfig() is None:
        images.make_python_image()
    return load_image(PYTHON_IMAGE)


def install(kubectl: Kubectl, add_on: str, sign: str) -> None:
    """Installs an add-on in the lab; in another cluster it must be there already."""
    if cluster.given_kubeconfig() is None:
        addons.ADD_ONS[add_on](kubectl)
    elif not kubectl.succeeds("get", *sign.split()):
        pytest.skip(f"the cluster that KUBECONFIG names has no {add_on} (`kubectl get {sign}`)")


@pytest.fixture(scope="session")
def keda(kubectl: Kubectl) -> None:
    """KEDA, ready to scale."""
    install(kubectl, "keda", "crd scaledobjects.keda.sh")


@pytest.fixture(scope="session")
def prometheus(kubectl: Kubectl) -> None:
    """A Prometheus at http://prometheus.monitoring:9090 that scrapes the chart's pods every 5 s."""
    install(kubectl, "prometheus", "service --namespace monitoring prometheus")


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> None:
    """Definitions of the custom resources that the chart can make."""
    install(kubectl, "crds", "crd grpcroutes.gateway.networking.k8s.io")
