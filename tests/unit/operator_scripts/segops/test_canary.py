from typing import Any

import pytest

from segtriton_client.probe_result import ProbeResult, ServerInfo
from segtriton_ops.segops.canary import Judgement, canary_of
from segtriton_ops.segops.rollout import image_of

INFO = ServerInfo("segtriton-server 2", "pod", "selfie", "libavcodec h264", "libx264")


def result(latency: float, code: str = "") -> ProbeResult:
    return ProbeResult(code, "why", latencies=(latency,) * 10, info=INFO)


def judged(latency: float, *codes: str) -> Judgement:
    return Judgement.of([result(latency, code) for code in (*codes, "", "")])


def test_a_pod_is_judged_by_whole_sessions_and_the_median_of_their_p95() -> None:
    found = Judgement.of([result(0.02), result(0.5), result(0.03)])
    assert (found.sessions, found.whole, found.p95, found.server) == (3, 3, 0.03, "segtriton-server 2")


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        (judged(0.02), ""),
        (judged(0.06), ""),
        (judged(0.09), "its p95 is 90 ms, that of the running pods 20 ms"),
        (judged(0.02, "WRONG_PICTURE"), "1 of 3 sessions failed (WRONG_PICTURE: why)"),
        (Judgement.of([ProbeResult("TIMEOUT", "it hung")]), "1 of 1 sessions failed (TIMEOUT: it hung)"),
    ],
)
def test_a_new_pod_must_not_fail_and_not_be_much_later(canary: Judgement, words: str) -> None:
    assert canary.worse_than(judged(0.02), times=1.5, seconds=0.05) == words


def test_the_canary_is_the_deployments_pod_with_another_image_and_out_of_users_reach() -> None:
    selector = {"app.kubernetes.io/instance": "live", "app.kubernetes.io/component": "server"}
    containers = [{"name": "triton", "image": "server:1", "args": ["a"]}, {"name": "proxy", "image": "envoy:1"}]
    template: dict[str, Any] = {
        "metadata": {"labels": selector},
        "spec": {"containers": containers, "topologySpreadConstraints": [{}]},
    }
    deployment = {"metadata": {"name": "live-segtriton"}, "spec": {"template": template}}
    pod = canary_of(deployment, "server:2")
    assert pod["metadata"]["name"] == "live-segtriton-canary"
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "canary"
    assert [one["image"] for one in pod["spec"]["containers"]] == ["server:2", "envoy:1"]
    assert pod["spec"]["containers"][0]["args"] == ["a"]
    assert "topologySpreadConstraints" not in pod["spec"]
    assert image_of(deployment) == "server:1", "the deployment is left as it was"
