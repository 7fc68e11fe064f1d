import http.client
import itertools
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import click
import pytest

from segtriton_ops.segops import context, passing_pod
from segtriton_ops.segops.kubernetes_api import AbsentError, Cluster, ClusterError, Json
from segtriton_ops.segops.passing_pod import running

POD = {"metadata": {"name": "live-canary"}}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
PULLING = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
SIDECAR = {"name": "proxy", "state": {"running": {}}}
STUCK = {
    "phase": "Pending",
    "conditions": [{"type": "Ready", "status": "False", "message": "containers are not ready"}],
    "containerStatuses": [SIDECAR, {"name": "triton", "state": PULLING}],
}


class Fake(Cluster):
    """A cluster in which a pod goes through statuses, and is gone so many looks after its deletion."""

    def __init__(self, statuses: Sequence[Json] = (READY,), looks_until_gone: int = 0, taken: bool = False) -> None:
        self.namespace = "video"
        self.did: list[str] = []
        self._statuses = itertools.chain(statuses, itertools.repeat(statuses[-1]))
        self._looks_until_gone = looks_until_gone
        self._taken = taken

    def create(self, path: str, body: Json) -> Json:
        if self._taken:
            raise ClusterError("it exists already", http.client.CONFLICT)
        self.did.append(f"create {body['metadata']['name']}")
        return body

    def get(self, path: str, **query: str) -> Json:
        if self.did[-1] == "delete":
            if not self._looks_until_gone:
                self.did.append("gone")
                raise AbsentError("not found", http.client.NOT_FOUND)
            self._looks_until_gone -= 1
        return {**POD, "status": next(self._statuses)}

    def delete(self, path: str, **query: str) -> None:
        self.did.append("delete")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Time passes only where somebody sleeps."""
    now = SimpleNamespace(seconds=0.0)

    def sleep(seconds: float) -> None:
        now.seconds += seconds

    monkeypatch.setattr(context, "time", SimpleNamespace(monotonic=lambda: now.seconds, sleep=sleep))
    return now


def operation(cluster: Cluster, told: list[str]) -> Any:
    return SimpleNamespace(cluster=cluster, output=SimpleNamespace(tell=told.append))


def test_the_context_ends_when_the_pod_is_gone_and_not_before(clock: SimpleNamespace) -> None:
    cluster = Fake([{"phase": "Pending"}, READY], looks_until_gone=3)
    told: list[str] = []
    with running(operation(cluster, told), POD, 60) as name:
        assert (name, cluster.did) == ("live-canary", ["create live-canary"])
        clock.seconds = 0.0
    assert cluster.did == ["create live-canary", "delete", "gone"]
    assert clock.seconds == 3.0
    assert told == ["live-canary starts"]


def test_it_is_deleted_whatever_happens_meanwhile() -> None:
    cluster = Fake()
    with pytest.raises(ZeroDivisionError), running(operation(cluster, []), POD, 60):
        raise ZeroDivisionError
    assert cluster.did[-2:] == ["delete", "gone"]


def test_a_pod_that_stays_is_told_with_what_to_do() -> None:
    told: list[str] = []
    with running(operation(Fake(looks_until_gone=1_000_000), told), POD, 60):
        pass
    seconds = passing_pod._GONE_SECONDS
    assert told[-1] == f"live-canary is still there after {seconds:g} s: kubectl delete pod live-canary --force"


def test_one_of_its_name_is_left_alone() -> None:
    cluster = Fake(taken=True)
    with (
        pytest.raises(click.ClickException, match=r"another live-canary is at work.*kubectl delete pod live-canary"),
        running(operation(cluster, []), POD, 60),
    ):
        pass
    assert not cluster.did


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (STUCK, "live-canary is Pending after 60 s: ImagePullBackOff: no such image"),
        (
            {**STUCK, "containerStatuses": [SIDECAR]},
            "live-canary is Pending after 60 s: containers are not ready",
        ),
        (
            {"phase": "Pending", "conditions": [{"status": "False", "message": "no node has a GPU left"}]},
            "live-canary is Pending after 60 s: no node has a GPU left",
        ),
    ],
    ids=["a container that is stuck beside one that runs", "none that is stuck", "none at all"],
)
def test_a_pod_that_does_not_get_ready_says_why_and_goes(status: Json, words: str) -> None:
    cluster = Fake([status], looks_until_gone=1)
    with pytest.raises(click.ClickException) as caught, running(operation(cluster, []), POD, 60):
        pytest.fail("it is not ready")
    assert caught.value.message == words
    assert cluster.did[-1] == "gone"
