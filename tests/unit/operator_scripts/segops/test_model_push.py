import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from segtriton_ops.segops.kubernetes_api import Cluster, ClusterError, Json
from segtriton_ops.segops.model_files import manifests_there, sums_here, sums_there
from segtriton_ops.segops.model_push import check_folder, destination, no_claim, push_pod, send
from segtriton_ops.segops.model_units import Unit, plan

MakeModel = Any


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def push(machine: Cluster, repository: Path) -> Any:
    """Pushes as the command does, into a folder of this machine."""
    operation: Any = SimpleNamespace(cluster=machine)

    def push(*sources: Path, networks: bool = False) -> list[str]:
        units = plan(sources, sums_there(machine, "pod", "push", str(repository)), networks)
        for unit in units:
            send(operation, "pod", str(repository), unit)
        return [unit.target for unit in units]

    return push


def test_a_new_model_comes_whole_and_again_it_does_not(
    push: Any, make_model: MakeModel, machine: Cluster, repository: Path
) -> None:
    model = make_model("new", v1="one", v2="two")
    assert push(model) == ["selfie"]
    assert sums_here(repository / "selfie") == sums_here(model)
    assert manifests_there(machine, "pod", "push", str(repository)) == sums_here(repository)
    assert [path.name for path in repository.iterdir()] == ["selfie"], "nothing else is left"
    assert push(model) == []


def identity(folder: Path) -> tuple[int, int]:
    """What changes where a folder is replaced or written to; reading it changes the time of its last access alone."""
    return folder.stat().st_ino, folder.stat().st_mtime_ns


def test_a_new_version_comes_beside_the_old_one(push: Any, make_model: MakeModel, repository: Path) -> None:
    push(make_model("old", v1="one"))
    before = identity(repository / "selfie" / "1")
    assert push(make_model("new", v1="one", v2="two", v10="ten")) == ["selfie/2", "selfie/10"]
    assert (repository / "selfie" / "2" / "model.py").read_text() == "two"
    digest = hashlib.sha256(b"two").hexdigest()
    assert (repository / "selfie" / "2" / "SHA256SUMS").read_text() == f"{digest}  model.py\n"
    assert identity(repository / "selfie" / "1") == before


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"v1": "other"}, "version 1 of selfie is there with other files"),
        ({"config": "name: other", "v2": "two"}, "another config.pbtxt"),
        ({}, "not the folder of a model"),
        ({"v01": "one"}, "not the folder of a model"),
    ],
)
def test_nothing_that_is_there_is_changed(
    files: dict[str, str], words: str, push: Any, make_model: MakeModel, repository: Path
) -> None:
    push(make_model("old", v1="one"))
    before = sums_here(repository)
    with pytest.raises(click.ClickException, match=words):
        push(make_model("new", **files))
    assert sums_here(repository) == before


def test_what_came_in_the_meantime_is_not_changed_either(
    make_model: MakeModel, machine: Cluster, push: Any, repository: Path
) -> None:
    push(make_model("old", v1="one"))
    operation: Any = SimpleNamespace(cluster=machine)
    late = Unit("selfie/1", make_model("late", v1="other") / "1")
    with pytest.raises(ClusterError, match="selfie/1 is there already"):
        send(operation, "pod", str(repository), late)
    assert (repository / "selfie" / "1" / "model.py").read_text() == "one"


def test_what_arrives_damaged_gets_no_name(
    make_model: MakeModel, machine: Cluster, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation: Any = SimpleNamespace(cluster=machine)
    monkeypatch.setattr("segtriton_ops.segops.model_units.digest_of", lambda _: "0" * 64)
    with pytest.raises(ClusterError, match="did NOT match"):
        send(operation, "pod", str(repository), Unit("selfie", make_model("new", v1="one")))
    assert not list(repository.iterdir())


def test_networks_are_files_and_keep_their_content(push: Any, tmp_path: Path, repository: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(bytes(range(256)) * 1000)
    assert push(weights, networks=True) == ["weights.pth"]
    assert (repository / "weights.pth").read_bytes() == weights.read_bytes()
    assert push(weights, networks=True) == []
    weights.write_bytes(b"others")
    with pytest.raises(click.ClickException, match="other content"):
        push(weights, networks=True)
    with pytest.raises(click.ClickException, match="not a file"):
        push(tmp_path, networks=True)


def deployment(address: str = "/models", **volume: Json) -> Json:
    restricted = {"allowPrivilegeEscalation": False}
    server = {
        "name": "triton",
        "image": "server:1",
        "args": [f"--model-repository={address}"],
        "securityContext": restricted,
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "volumeMounts": [{"name": "models", "mountPath": "/models", "subPath": "a/b"}],
    }
    labels = {"app.kubernetes.io/instance": "live", "app.kubernetes.io/component": "server"}
    spec = {
        "containers": [{"name": "proxy"}, server],
        "volumes": [{"name": "models", **volume}],
        "securityContext": {"fsGroup": 1000},
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"metadata": {"name": "live"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


def test_the_claim_is_the_one_that_the_pods_read() -> None:
    claimed = deployment(persistentVolumeClaim={"claimName": "models", "readOnly": True})
    assert destination(claimed, "models") == ("models", "a/b")
    assert destination(claimed, "networks") == ("", "")
    assert destination(deployment(emptyDir={}), "models") == ("", "a/b")


def test_where_there_is_no_claim_the_way_is_told() -> None:
    bucket = deployment("s3://models/live")
    assert "s3://models/live; segops writes to claims: rclone copy --immutable" in no_claim(bucket, networks=False)
    assert "networks.type=pvc" in no_claim(bucket, networks=True)
    assert "modelRepository.type=pvc" in no_claim(deployment("/opt/models"), networks=False)


def test_a_folder_lies_in_the_claim() -> None:
    assert [check_folder(name) for name in ("", ".", "a/b/")] == ["", "", "a/b"]
    for outside in ("/a", "../a", "a/../../b"):
        with pytest.raises(click.UsageError):
            check_folder(outside)


def test_the_pod_is_as_restricted_as_the_servers_and_takes_no_gpu_and_no_session() -> None:
    pod = push_pod(deployment(), "claim-1", 60)
    [container] = pod["spec"]["containers"]
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "push", "no Service leads there"
    assert (container["image"], container["securityContext"]) == ("server:1", {"allowPrivilegeEscalation": False})
    assert pod["spec"]["securityContext"] == {"fsGroup": 1000}
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert pod["spec"]["activeDeadlineSeconds"] == 60
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "claim-1"}
