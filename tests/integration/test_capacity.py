"""`segops capacity` against real servers: it stops where they refuse, and where they are late."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from process_tree import wait_until

from segtriton_server.launch import TritonProcess

SEGOPS = Path(sys.executable).with_name("segops")
CLIP = Path(__file__).parents[2] / ".assets" / "clips" / "carphone_pristine.mp4"


def capacity(server: TritonProcess, *options: object) -> tuple[int, Any, str]:
    command = [SEGOPS, "-o", "json", "capacity", CLIP, "--endpoint", server.grpc_address, "--effect", "mask", *options]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_it_stops_where_the_server_refuses_and_writes_the_values(
    small_server: TritonProcess, tmp_path: Path, read_metrics: Any
) -> None:
    file = tmp_path / "values.yaml"
    status, found, said = capacity(small_server, "--limit", 30, "--hold", 2, "--most", 5, "-f", file)
    assert status == 0, said
    assert [step["verdict"] for step in found["steps"]] == ["", "", "refused: RESOURCE_EXHAUSTED"]
    assert found["capacity"] == 2
    assert found["values"] == {"load": {"capacityPerPod": 2}}
    assert file.read_text() == "load:\n  capacityPerPod: 2\n"
    assert all(step["p95_ms"] > 0 for step in found["steps"][:2])
    assert wait_until(lambda: read_metrics(small_server)["segtriton_active_streams"] == 0)


def test_a_pod_that_is_late_with_one_session_carries_none(small_server: TritonProcess) -> None:
    status, found, said = capacity(small_server, "--limit", 0, "--hold", 2)
    assert status == 1
    assert found["steps"][0]["verdict"] == "late"
    assert "does not carry one session" in said


def test_a_server_that_is_gone_is_an_error_of_one_line() -> None:
    command = [SEGOPS, "capacity", CLIP, "--endpoint", "127.0.0.1:1"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "No server answers" in done.stderr
    assert "Traceback" not in done.stderr
