import sys
from pathlib import Path
from typing import Any

import pytest

from segtriton_ops.segops.kubernetes_api import Cluster, ClusterError
from segtriton_ops.segops.model_files import (
    manifests_there,
    models_of,
    parse_sums,
    sums_here,
    sums_there,
    versions_of,
)
from segtriton_ops.segops.models import compare, read_served, repository_of
from segtriton_server.launch.pins import pinned_sums

PAGE = """\
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="selfie",version="1"} 0
nv_inference_request_success{model="selfie",version="2"} 4
nv_inference_request_success{model="selfie_streaming",version="1"} 4
# TYPE nv_inference_count counter
nv_inference_count{model="selfie",version="1"} 0
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.5
"""
MakeModel = Any


def test_triton_counts_for_the_versions_that_it_serves() -> None:
    assert read_served(PAGE) == {"selfie": [1, 2], "selfie_streaming": [1]}


def test_sums_here_and_in_a_container_are_the_same(machine: Cluster, make_model: MakeModel) -> None:
    model = make_model("there", v1="one", v2="two")
    (model / "2" / "SHA256SUMS").write_text("a manifest is not summed\n")
    (model / ".hidden").write_text("nor is this")
    (model / "lost+found").mkdir()
    here = sums_here(model)
    assert sorted(here) == ["1/model.py", "2/model.py", "config.pbtxt"]
    assert sums_there(machine, "pod", "triton", str(model)) == here
    repository = sums_there(machine, "pod", "triton", str(model.parent))
    assert repository == {f"selfie/{path}": digest for path, digest in here.items()}
    assert models_of(repository) == ["selfie"]
    assert versions_of(repository, "selfie") == [1, 2]


def test_a_folder_that_is_not_there_is_an_error(machine: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="nowhere"):
        sums_there(machine, "pod", "triton", str(tmp_path / "nowhere"))


def test_manifests_name_what_is_beside_and_below_them(machine: Cluster, make_model: MakeModel) -> None:
    model = make_model("there", v1="one", v2="two")
    (model / "SHA256SUMS").write_text("aa  1/model.py\nbb  config.pbtxt\n")
    (model / "2" / "SHA256SUMS").write_text("cc  model.py\n")
    found = manifests_there(machine, "pod", "triton", str(model.parent))
    assert found == {"selfie/1/model.py": "aa", "selfie/config.pbtxt": "bb", "selfie/2/model.py": "cc"}
    assert manifests_there(machine, "pod", "triton", str(model / "1")) == {}


def test_each_file_is_ok_changed_missing_or_unknown() -> None:
    found = compare("pod", "/models", {"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"})
    assert {one["file"]: one["result"] for one in found} == {"a": "ok", "b": "changed", "c": "unknown", "d": "missing"}


def test_the_repository_is_what_triton_is_told() -> None:
    server: dict[str, Any] = {
        "name": "triton",
        "args": ["--model-control-mode=explicit", "--model-repository=s3://a/b"],
    }
    pod = {"metadata": {"name": "pod"}, "spec": {"containers": [{"name": "proxy"}, server]}}
    assert repository_of(pod) == "s3://a/b"
    server["args"] = []
    with pytest.raises(ClusterError, match="no argument --model-repository="):
        repository_of(pod)


def test_the_server_prints_its_pins_as_sums(machine: Cluster) -> None:
    text = machine.execute("pod", "triton", [sys.executable, "-m", "segtriton_server.launch.pins"])
    assert parse_sums(text) == pinned_sums()
    assert {"selfie_segmentation.tflite", "fcn_resnet101_coco-7ecb50ca.pth"} <= {*pinned_sums()}
