"""The cluster that all tests of this folder share: the lab's own, or the one that KUBECONFIG names."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import addons, cluster, images
from lab.kubernetes import Helm, Json, Kubectl
from lab.settings import KUBECONFIG, PYTHON_IMAGE, REPOSITORY
from lab.shell import run, wait_until
from operators import Hire, Operator
from release import CHART, Release
from streams import Clip, Streams, make_camera

TEST_LABEL = "segtriton.test/namespace"


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """Where the cluster is; `make test-cluster` starts one if need be."""
    given = Path(os.environ.get("KUBECONFIG") or KUBECONFIG)
    if not given.exists():
        pytest.fail("no cluster is up; run the tests with `make test-cluster`, or start one with `make cluster-up`")
    return given


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Iterator[Kubectl]:
    """kubectl for things outside namespaces; at the end, no namespace of a test is left."""
    kubectl = Kubectl(kubeconfig)
    yield kubectl
    wait_until(
        "the namespaces of the tests are gone",
        lambda: not kubectl.items("namespaces", "-l", TEST_LABEL),
        timeout_seconds=180,
        interval_seconds=1,
    )


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A fresh namespace that admits only what is restricted; when the test ends, it goes with all that is in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", TEST_LABEL: "true"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    # In this order, so that nothing makes new pods, and without the time that their sessions would get to move.
    kubectl("delete", "namespace", name, "--wait=false")
    kubectl.in_namespace(name)("delete", "pods", "--all", "--force", "--grace-period=0")


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


@pytest.fixture(scope="session")
def registry() -> str:
    """Where the images are: here, or where the cluster that KUBECONFIG names pulls them from."""
    if cluster.given_kubeconfig() is not None:
        return os.environ.get("REGISTRY", "localhost")
    images.make_python_image()
    build = {"REGISTRY": "localhost", "IMAGES": "server-cpu client", "BASE_IMAGE": PYTHON_IMAGE}
    run(REPOSITORY / "images" / "build", environment={**os.environ, **build}, timeout_seconds=1200)
    return "localhost"


@pytest.fixture(scope="session")
def version() -> str:
    return run("sed", "-n", 's/^version = "\\(.*\\)"$/\\1/p', REPOSITORY / "server" / "pyproject.toml").strip()


@pytest.fixture(scope="session")
def server_image(registry: str, version: str, load_image: Callable[[str], str]) -> str:
    return load_image(f"{registry}/segtriton/server-cpu:{version}")


@pytest.fixture(scope="session")
def client_image(registry: str, version: str, load_image: Callable[[str], str]) -> str:
    return load_image(f"{registry}/segtriton/client:{version}")


@pytest.fixture(scope="session")
def next_tag(server_image: str, load_image: Callable[[str], str]) -> str:
    """The tag of a version to come, which is the same server under another name."""
    image = f"{server_image}-next"
    if cluster.given_kubeconfig() is None:
        run(images.find(server_image)[0], "tag", server_image, image)
    return load_image(image).rpartition(":")[2]


@pytest.fixture(scope="session")
def previous_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as it was before its version changed last."""
    git = ("git", "-c", "safe.directory=*", "-C", REPOSITORY)
    if run(*git, "rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("this clone has no history to take the previous chart from; `git fetch --unshallow` brings it")
    changed = run(*git, "log", "-1", "--format=%H", "-G^version:", "--", CHART / "Chart.yaml").strip()
    folder = tmp_path_factory.mktemp("previous")
    run(*git, "archive", f"--output={folder}/chart.tar", f"{changed}^", "charts/segtriton")
    run("tar", "--extract", f"--file={folder}/chart.tar", f"--directory={folder}")
    return folder / "charts" / "segtriton"


@pytest.fixture(scope="session")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A video without an end: longer than a test may take."""
    return make_camera(tmp_path_factory.mktemp("camera") / "camera.mkv", seconds=480)


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    streams = Streams(tmp_path / "streams")
    yield streams
    streams.stop()


@pytest.fixture
def empty_claim(here: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A claim on the lab's only volume, or on one of the cluster's storage class."""
    spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volume = f"{here.namespace}-models"
    is_ours = not cluster.given_kubeconfig()
    if is_ours:
        folder = tmp_path / "volume"
        folder.mkdir()
        folder.chmod(0o777)
        source = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": str(folder)}, "storageClassName": ""}
        volume_spec = {**source, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain"}
        here.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume}, "spec": volume_spec})
        spec |= {"storageClassName": "", "volumeName": volume}
    here.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": spec})
    yield "models"
    if is_ours:
        here("delete", "persistentvolume", volume, "--wait=false")


@pytest.fixture
def hire(here: Kubectl, tmp_path: Path) -> Hire:
    """Makes an operator with the rights of one role."""
    return lambda role: Operator(here, role, tmp_path)


@pytest.fixture
def release(helm3: Helm, here: Kubectl, server_image: str, client_image: str) -> Release:
    return Release(helm3, here, server_image)
