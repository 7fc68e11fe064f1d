"""ONNX Runtime sends and keeps nothing about who uses it."""

import os
import subprocess
import sys
from pathlib import Path

LOAD = """
from segtriton_server.vision.networks.onnx_runtime import onnxruntime
import onnx_networks
onnxruntime.InferenceSession(onnx_networks.colors_model().SerializeToString(), providers=["CPUExecutionProvider"])
"""


def test_nothing_is_left_in_the_home_and_nothing_is_said(tmp_path: Path) -> None:
    fakes = Path(__file__).parents[4] / "fakes"
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment = {**kept, "HOME": str(tmp_path), "PYTHONPATH": str(fakes), "TMPDIR": str(tmp_path)}

    done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True)

    assert list(tmp_path.rglob("*")) == []
    assert "telemetry" not in done.stderr
