from typing import Any

import pytest

from segtriton_ops.segops.release import ServerPod, read_gauges, state_of
from segtriton_ops.segops.scale import deletion_costs, first_to_go
from segtriton_ops.segops.status import describe

READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
PAGE = """\
# TYPE segtriton_active_streams gauge
segtriton_active_streams 3
# TYPE segtriton_frames_total counter
segtriton_frames_total{outcome="out"} 12
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="a"} 0.5
"""


@pytest.mark.parametrize(
    ("pod", "state"),
    [
        ({"metadata": {}, "status": READY}, "Ready"),
        ({"metadata": {}, "status": {"phase": "Running"}}, "NotReady"),
        ({"metadata": {"deletionTimestamp": "now"}, "status": READY}, "Draining"),
        ({"metadata": {}, "status": {"phase": "Pending"}}, "Pending"),
    ],
)
def test_a_pods_state_is_one_word(pod: dict[str, Any], state: str) -> None:
    assert state_of(pod) == state


def test_gauges_without_labels_are_read() -> None:
    assert read_gauges(PAGE) == {"segtriton_active_streams": 3}


def test_the_emptiest_pods_go_first_and_those_that_do_not_tell_last() -> None:
    pods = [
        ServerPod("a", "Ready", sessions=3),
        ServerPod("b", "Ready", sessions=0),
        ServerPod("c", "Ready"),
        ServerPod("d", "NotReady"),
        ServerPod("e", "Ready", sessions=1),
    ]
    assert deletion_costs(pods)["a"] == 3
    assert deletion_costs(pods)["c"] > 3
    assert first_to_go(pods, 4) == ["d", "b", "e", "a"]
    assert first_to_go(pods, -1) == []


def test_a_status_is_a_table() -> None:
    pod = ServerPod("a", "Ready", node="n", image="ghcr.io/segtriton/server:1", sessions=3, slots=4)
    found = {"deployment": "d", "namespace": "video", "replicas": 1, "updated": 1, "available": 1, "autoscaler": ""}
    lines = describe({**found, "sessions": 3, "slots": 4, "pods": [pod.to_json()]}).splitlines()
    assert lines[0] == "d in video: 3 sessions in 4 slots"
    assert lines[-1].split() == ["a", "Ready", "3", "4", "0", "n", "server:1"]
