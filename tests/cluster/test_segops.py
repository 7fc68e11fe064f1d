"""segops on a real cluster, each command with no more rights than its role has."""

import json
import re
import tarfile
from pathlib import Path

import pytest
from lab.kubernetes import Kubectl
from lab.shell import wait_until
from operators import Hire
from release import NAME, Release, name_of
from streams import CLIP, Clip, Streams, check_all


def test_status_tells_pods_and_sessions(release: Release, streams: Streams, camera: Clip, hire: Hire) -> None:
    release.install(replicas=2)
    streams.start(release.address, camera, count=3)
    release.wait_for_sessions(3)
    operator = hire("status")
    found = operator("-o", "json", "status").check().result
    assert (found["sessions"], found["slots"], found["available"]) == (3, 32, 2)
    assert {pod["name"]: pod["sessions"] for pod in found["pods"]} == release.active()
    assert {pod["state"] for pod in found["pods"]} == {"Ready"}
    text = operator("status").check().text
    assert re.search(rf"^{NAME} in \S+: 3 sessions in 32 slots$", text, re.MULTILINE)
    assert len(re.findall(r"^segtriton-\S+ +Ready +\d +16 +0 ", text, re.MULTILINE)) == 2


def test_status_says_why_a_pod_does_not_run(release: Release, hire: Hire, here: Kubectl) -> None:
    release.install()
    here("set", "image", f"deployment/{NAME}", "triton=localhost/segtriton/no-such-image:1")
    operator = hire("status")

    def problems() -> str:
        return " ".join(pod["problem"] for pod in operator("-o", "json", "status").check().result["pods"])

    wait_until(
        "the new pod's trouble is told", lambda: "no-such-image" in problems(), timeout_seconds=60, explain=problems
    )


def test_a_release_that_is_not_there_and_a_missing_right_are_errors_of_one_line(hire: Hire, release: Release) -> None:
    release.install()
    status = hire("status")
    absent = status("-r", "other", "status")
    assert absent.status == 1
    assert "0 deployments of release other" in absent.errors
    forbidden = status("drain", name_of(release.pods()[0]))
    assert forbidden.status == 1
    assert "pods/eviction" in forbidden.errors
    assert len(absent.errors.splitlines()) == len(forbidden.errors.splitlines()) == 1
    assert len(release.ready_pods()) == 1


def test_preflight_finds_no_gpu_and_all_that_a_cpu_release_needs(hire: Hire) -> None:
    operator = hire("preflight")
    checks = {
        check["name"]: check for check in operator("-o", "json", "preflight", "--accelerator", "cpu").check().result
    }
    assert {check["result"] for check in checks.values()} <= {"ok", "warning"}
    assert checks["namespace"]["found"].endswith("enforces restricted; the chart keeps to restricted")
    without = operator("preflight")
    assert without.status == 1
    assert re.search(
        r"^failed +GPUs +0 of nvidia.com/gpu on all nodes +install NVIDIA's GPU operator", without.text, re.M
    )


def test_drain_takes_a_pod_away_and_cuts_no_session(
    release: Release, streams: Streams, camera: Clip, hire: Hire
) -> None:
    release.install(replicas=2)
    running = streams.start(release.address, camera, count=4)
    release.wait_for_sessions(4)
    active = release.active()
    busy = max(active, key=lambda name: active[name])
    operator = hire("drain")
    planned = operator("--dry-run", "-o", "json", "drain", busy).check().result
    assert planned == {"pod": busy, "sessions": active[busy], "dry_run": True, "gone": False}
    assert release.active() == active, "a dry run does nothing"
    drained = operator("drain", busy).check()
    assert f"{busy} drains {active[busy]} sessions" in drained.text
    assert f"{active[busy]} sessions left on {busy}" in drained.text
    assert f"{busy} is gone; all pods are ready" in drained.text
    assert busy not in {name_of(pod) for pod in release.pods()}
    assert len(release.ready_pods()) == 2
    assert sum(check_all(running)) >= active[busy]
    assert operator("drain", busy).status == 1, "it is gone"


def test_scale_takes_the_emptiest_pods(release: Release, streams: Streams, camera: Clip, hire: Hire) -> None:
    release.install(replicas=3)
    running = streams.start(release.address, camera, count=1)
    release.wait_for_sessions(1)
    [busy] = [name for name, sessions in release.active().items() if sessions]
    operator = hire("scale")
    planned = operator("--dry-run", "-o", "json", "scale", 1).check().result
    assert planned["dry_run"]
    assert busy not in planned["first_to_go"]
    assert len(planned["first_to_go"]) == 2
    assert len(release.ready_pods()) == 3, "a dry run does nothing"
    scaled = operator("scale", 1).check()
    assert scaled.text.startswith(f"{NAME}: 3 pods become 1")
    assert [name_of(pod) for pod in release.ready_pods()] == [busy]
    release.wait_until_gone(*planned["first_to_go"])
    assert check_all(running, are_told=False) == [0], "the session stayed where it was"


def test_rebalance_evens_out_after_a_pod_came(
    release: Release, streams: Streams, camera: Clip, hire: Hire, here: Kubectl
) -> None:
    release.install()
    running = streams.start(release.address, camera, count=5)
    release.wait_for_sessions(5)
    [full] = release.active()
    release.upgrade(replicas=2)
    release.wait_for_ready_pods(2)
    before = release.active()
    [fresh] = set(before) - {full}
    assert before == {full: 5, fresh: 0}
    operator = hire("rebalance")
    planned = operator("--dry-run", "-o", "json", "rebalance").check().result
    assert {pod["name"]: pod["keeps"] for pod in planned["pods"]} == {full: 3, fresh: 0}
    assert release.active() == before, "a dry run does nothing"
    done = operator("-o", "json", "rebalance", "--timeout", 60).check().result
    assert {pod["name"]: (pod["before"], pod["after"]) for pod in done["pods"]} == {full: (5, 3), fresh: (0, 2)}
    assert done["even"]
    assert release.active() == {full: 3, fresh: 2}
    again = operator("-o", "json", "rebalance").check().result
    assert [pod["after"] for pod in again["pods"]] == [pod["before"] for pod in again["pods"]]

    def told(server: str) -> list[str]:
        return re.findall("the server keeps (.+?) sessions", here("logs", server))

    wait_until("both take sessions again", lambda: all(told(server)[-1:] == ["all"] for server in (full, fresh)))
    assert told(full) == told(fresh) == ["3", "all"]
    assert check_all(streams.start(release.address, CLIP)) == [0]
    assert sorted(check_all(running)) == [0, 0, 0, 1, 1]


def test_scale_leaves_a_release_to_its_autoscaler(release: Release, hire: Hire, here: Kubectl) -> None:
    release.install()
    here("autoscale", f"deployment/{NAME}", "--min=1", "--max=3", "--cpu-percent=90")
    operator = hire("scale")
    refused = operator("scale", 2)
    assert refused.status == 1
    assert f"HorizontalPodAutoscaler {NAME} scales this release" in refused.errors
    assert len(release.pods()) == 1
    operator("scale", 2, "--force", "--no-wait").check()
    release.wait_for_ready_pods(2)


def test_a_support_bundle_has_what_helps_and_no_secret(
    release: Release, streams: Streams, hire: Hire, here: Kubectl, tmp_path: Path
) -> None:
    release.install(token={"enabled": True}, admin={"value": "open-sesame-27182"})
    streams.start(release.address, CLIP, "--token", release.token)[0].check()
    file = tmp_path / "bundle.tar.gz"
    made = hire("support-bundle")("-o", "json", "support-bundle", "-f", file).check().result
    assert made["file"] == str(file)
    with tarfile.open(file) as archive:
        contents = {
            member.name.partition("/")[2]: (archive.extractfile(member) or pytest.fail(member.name)).read().decode()
            for member in archive.getmembers()
        }
    assert set(contents) == set(made["contents"])
    [pod] = release.pods()
    assert f"closed: {CLIP.frames} in, {CLIP.frames} out" in contents[f"pods/{name_of(pod)}/triton.log"]
    assert "segtriton_frames_total" in contents[f"pods/{name_of(pod)}/metrics.txt"]
    assert f"{NAME} in " in contents["status.txt"]
    assert json.loads(contents["objects/deployments.json"])[0]["metadata"]["name"] == NAME
    assert "Scheduled" in contents["events.json"]
    everything = "\n".join(contents.values())
    for secret in (release.token, "open-sesame-27182"):
        assert secret not in everything
    assert file.stat().st_mode & 0o077 == 0
