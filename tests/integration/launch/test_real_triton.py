"""The launcher against a real Triton, with a model of its own that returns what it is given."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.launch.errors import PortInUseError, ServerExitedError

CONFIG = """
name: "echo"
backend: "python"
max_batch_size: 0
input [{ name: "IN" data_type: TYPE_INT32 dims: [-1] }]
output [{ name: "OUT" data_type: TYPE_INT32 dims: [-1] }, { name: "PYTHON" data_type: TYPE_STRING dims: [2] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""
MODEL = """
import os, sys
import numpy as np
import triton_python_backend_utils as backend

class TritonPythonModel:
    def execute(self, requests):
        python = np.array([os.environ["SEGTRITON_PYTHON"], sys.prefix], dtype=object)
        return [
            backend.InferenceResponse(
                [
                    backend.Tensor("OUT", backend.get_input_tensor_by_name(request, "IN").as_numpy()),
                    backend.Tensor("PYTHON", python),
                ]
            )
            for request in requests
        ]
"""


def write_model(repository: Path, code: str) -> Path:
    folder = repository / "echo" / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(code)
    (folder.parent / "config.pbtxt").write_text(CONFIG)
    (repository / ".stray_folder").mkdir()
    return repository


def settings_for(repository: Path) -> LaunchSettings:
    return LaunchSettings(
        model_repository=repository,
        models=("echo",),
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        log_path=repository / "triton.log",
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    with TritonProcess(settings_for(write_model(tmp_path_factory.mktemp("repository"), MODEL))) as running:
        yield running


def infer(server: TritonProcess, values: list[int]) -> dict[str, Any]:
    body = {"inputs": [{"name": "IN", "datatype": "INT32", "shape": [len(values)], "data": values}]}
    request = urllib.request.Request(f"{server.http_url}/v2/models/echo/infer", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as response:
        return {output["name"]: output["data"] for output in json.load(response)["outputs"]}


def test_tensors_arrive_whole(server: TritonProcess) -> None:
    # With the wheel's Triton and NumPy 2 they arrive empty, without any error.
    assert infer(server, [1, 2, 3])["OUT"] == [1, 2, 3]


def test_models_run_in_the_environment_that_started_triton(server: TritonProcess) -> None:
    assert infer(server, [0])["PYTHON"] == [sys.executable, sys.prefix]


def test_metrics_are_served(server: TritonProcess) -> None:
    with urllib.request.urlopen(server.metrics_url, timeout=10) as response:
        assert b"nv_inference_request_success" in response.read()


def test_a_second_server_on_the_same_port_is_refused(server: TritonProcess, tmp_path: Path) -> None:
    second = LaunchSettings(tmp_path, models=(), grpc_port=server.settings.grpc_port, http_port=0, metrics_port=0)

    with pytest.raises(PortInUseError, match="--grpc-port"):
        TritonProcess(second).start()


def test_a_model_that_does_not_load_shows_its_trace(tmp_path: Path) -> None:
    repository = write_model(tmp_path, "raise RuntimeError('no such network')")

    with pytest.raises(ServerExitedError) as caught:
        TritonProcess(settings_for(repository)).__enter__()

    assert "no such network" in caught.value.log_tail


def test_ctrl_c_ends_the_command_in_order(tmp_path: Path) -> None:
    repository = write_model(tmp_path, MODEL)
    command = [sys.executable, "-m", "segtriton_server.launch.cli", f"--model-repository={repository}", "--model=echo"]
    command += ["--grpc-port=0", "--http-port=0", "--metrics-port=0", f"--log-file={tmp_path / 'triton.log'}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "ready" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
