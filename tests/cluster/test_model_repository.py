"""Where the models come from: each way that needs no cloud, seen to bring a model that the image does not have."""

from pathlib import Path

import pytest
from client_pods import add_claim, pod, run_in_a_pod
from lab import cluster
from lab.kubernetes import Kubectl
from lab.settings import REPOSITORY
from lab.shell import run
from release import Release
from streams import CLIP, Streams

EXTRA = "portrait"
# The image's own models, and one of them under another name.
FILL = f"""set -eu
cp -r "$1/selfie" "$1/selfie_streaming" "$2"
cp -r "$1/selfie" "$2/{EXTRA}"
sed -i '/^name:/s/selfie/{EXTRA}/' "$2/{EXTRA}/config.pbtxt"
chmod -R a+rX "$2/"*
"""
FILL_FROM_IMAGE = ["sh", "-c", FILL, "fill", "/opt/segtriton/models", "/models"]


@pytest.fixture
def node_folder(tmp_path: Path) -> Path:
    """A folder of the node, filled; of the lab's node this machine sees every file."""
    if cluster.given_kubeconfig():
        pytest.skip("no test can put files on the nodes of the cluster that KUBECONFIG names")
    folder = tmp_path / "models"
    folder.mkdir(mode=0o755)
    run("sh", "-c", FILL, "fill", REPOSITORY / "triton_models", folder)
    return folder


@pytest.fixture
def claim(empty_claim: str, here: Kubectl, server_image: str) -> str:
    """A claim that a pod has filled."""
    filler = pod("filler", server_image, *FILL_FROM_IMAGE)
    add_claim(filler, empty_claim, "/models")
    run_in_a_pod(here, filler)
    return empty_claim


def check(release: Release, streams: Streams, **repository: object) -> None:
    """The server is ready, which it is not without all of its models, and streams."""
    release.install(extraModels={EXTRA: True}, modelRepository=repository)
    streams.start(release.address, CLIP)[0].check()


def test_models_of_a_claim(release: Release, streams: Streams, claim: str) -> None:
    check(release, streams, type="pvc", pvc={"existingClaim": claim})


def test_models_of_a_folder_of_the_node(
    release: Release, streams: Streams, node_folder: Path, kubectl: Kubectl
) -> None:
    check(release, streams, type="hostPath", subPath="", hostPath={"path": str(node_folder)})
    release.uninstall()
    volumes = [volume["spec"]["hostPath"]["path"] for volume in kubectl.items("persistentvolumes")]
    assert str(node_folder) not in volumes
    assert (node_folder / EXTRA / "config.pbtxt").exists()


def test_models_of_an_init_container(release: Release, streams: Streams) -> None:
    check(release, streams, type="init", init={"command": FILL_FROM_IMAGE})
