import base64
import json
import logging
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import cluster, images
from lab.kubernetes import Helm, Json, Kubectl
from lab.settings import PYTHON_IMAGE, REPOSITORY
from lab.shell import CommandError, run, wait_until
from release import NAME, Release, make_certificate, metric, name_of
from streams import Clip, Stream, Streams, add_secret, make_clip, pod

pytestmark = pytest.mark.timeout(300)

log = logging.getLogger(__name__)

CAMERA = REPOSITORY / ".assets" / "clips" / "carphone_pristine.mp4"
CLIP_IN_IMAGE = "/opt/segtriton/clips/carphone_pristine.mp4"
FRAMES = 120
CLIP = Clip(CAMERA, FRAMES)
GATEWAY = {"enabled": True, "parentRefs": {"public": {"name": "public"}}, "hostnames": {"video.example.com": True}}
# What must not be in the image, or not be possible there.
LOOK_INSIDE = """
import os, pathlib, shutil
print(os.getuid(), os.getgid(), pathlib.Path("/proc/1/comm").read_text().strip())
print([name for name in ("cc", "gcc", "g++", "clang", "ld", "make", "pip", "pip3") if shutil.which(name)])
for folder in ("/", "/opt/segtriton", "/opt/segtriton/models", "/home", "/var/tmp"):
    try:
        pathlib.Path(folder, "written").touch()
        print(folder, "can be written")
    except OSError:
        pass
print([int(line.split()[1], 16) for line in open("/proc/1/status") if line.startswith(("CapEff", "CapPrm"))])
"""


@pytest.fixture(scope="session")
def registry() -> str:
    """Where the images are: here, or where the cluster that KUBECONFIG names pulls them from."""
    if cluster.given_kubeconfig() is not None:
        return os.environ.get("REGISTRY", "ghcr.io")
    images.make_python_image()
    build = {"REGISTRY": "localhost", "IMAGES": "server-cpu client", "BASE_IMAGE": PYTHON_IMAGE}
    run(REPOSITORY / "images" / "build", environment={**os.environ, **build}, timeout_seconds=1200)
    return "localhost"


@pytest.fixture(scope="session")
def version() -> str:
    return run("sed", "-n", 's/^version = "\\(.*\\)"$/\\1/p', REPOSITORY / "server" / "pyproject.toml").strip()


@pytest.fixture(scope="session")
def server_image(registry: str, version: str, load_image: Callable[[str], str]) -> str:
    return load_image(f"{registry}/segtriton/server-cpu:{version}")


@pytest.fixture(scope="session")
def client_image(registry: str, version: str, load_image: Callable[[str], str]) -> str:
    return load_image(f"{registry}/segtriton/client:{version}")


@pytest.fixture(scope="session")
def next_tag(server_image: str, load_image: Callable[[str], str]) -> str:
    """The tag of a version to come, which is the same server under another name."""
    image = f"{server_image}-next"
    if cluster.given_kubeconfig() is None:
        run(images.find(server_image)[0], "tag", server_image, image)
    return load_image(image).rpartition(":")[2]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """As long as a roll-out."""
    return make_clip(CAMERA, tmp_path_factory.mktemp("clips") / "clip.mp4", repeats=4)


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Longer than it takes to scale up and down."""
    return make_clip(CAMERA, tmp_path_factory.mktemp("clips") / "long.mp4", repeats=16)


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    streams = Streams(tmp_path / "streams")
    yield streams
    streams.stop()


@pytest.fixture
def release(helm3: Helm, here: Kubectl, server_image: str, client_image: str) -> Release:
    return Release(helm3, here, server_image)


def run_in_a_pod(here: Kubectl, manifest: Json, timeout_seconds: float = 90) -> str:
    here.apply(manifest)
    here.wait_for_pod(name_of(manifest), "Succeeded", timeout_seconds=timeout_seconds)
    return here("logs", name_of(manifest))


def segclient(endpoint: str, clip: str, options: str = "", sessions: int = 1) -> list[str]:
    """A command for a shell in a pod: sessions at once, then their reports, one a line."""
    one = f"segclient --endpoint {endpoint} -sv {clip} --effect mask {options} -o /tmp/$n.mp4 --report /tmp/$n.json"
    each = f'for n in $(seq {sessions}); do {one} & all="$all $!"; done; for p in $all; do wait $p || exit 1; done'
    return ["sh", "-c", f"{each}; cat /tmp/*.json | tr -d '\\n' | sed 's/}}{{/}}\\n{{/g'"]


def check_reports(logs: str, count: int, frames: int = FRAMES) -> None:
    reports = [json.loads(line) for line in logs.splitlines() if line.startswith("{")]
    assert len(reports) == count, logs
    for report in reports:
        assert report["frames_in"] == report["frames_out"] == frames, report
        assert not report["frames_dropped"], report


def check_all(running: list[Stream], timeout_seconds: float = 150) -> list[int]:
    """Every session is whole; returns how often each went on elsewhere."""
    resumes: list[int] = [stream.check(timeout_seconds)["resumes"] for stream in running]
    log.info("sessions went on elsewhere so many times: %s", resumes)
    return resumes


def test_installed_service_streams_to_clients_outside_and_inside(
    helm: Helm, here: Kubectl, server_image: str, client_image: str, streams: Streams
) -> None:
    release = Release(helm, here, server_image)
    release.install()
    assert re.search(r"Phase:\s+Succeeded", release.test())
    streams.start(release.address, CLIP)[0].check()
    check_reports(run_in_a_pod(here, pod("client", client_image, *segclient(release.headless, CLIP_IN_IMAGE))), 1)


def test_server_can_do_no_more_than_it_needs(release: Release, here: Kubectl) -> None:
    release.install()
    [server] = release.pods()
    user, tools, *written, capabilities = here("exec", name_of(server), "--", "python3", "-c", LOOK_INSIDE).splitlines()
    assert (user, tools, written, capabilities) == ("1000 1000 tritonserver", "[]", [], "[0, 0]")
    assert "serviceAccount" not in json.dumps(server["spec"]["volumes"])


def test_client_spreads_its_sessions_over_the_pods_of_the_headless_service(
    release: Release, here: Kubectl, client_image: str
) -> None:
    release.install(replicas=2)
    command = segclient(release.headless, CLIP_IN_IMAGE, sessions=8)
    check_reports(run_in_a_pod(here, pod("client", client_image, *command)), 8)
    opened = [int(metric(server, "segtriton_streams_opened_total")) for server in release.ready_pods()]
    log.info("sessions opened by each pod: %s", opened)
    assert sum(opened) == 8
    assert min(opened) > 0


def test_roll_out_under_load_loses_nothing(release: Release, streams: Streams, clip: Clip, next_tag: str) -> None:
    release.install(replicas=2)
    old = {name_of(server) for server in release.pods()}
    running = streams.start(release.address, clip, "--live", count=8)
    release.wait_for_sessions(8)
    release.upgrade(image={**release.image, "tag": next_tag})
    assert all(stream.is_running for stream in running), "the roll-out was to happen under load"
    assert not old & {name_of(server) for server in release.pods()}
    resumes = check_all(running)
    assert min(resumes) >= 1, "all old pods went, and so no session can have stayed where it was"


def test_killed_pod_costs_its_sessions_nothing(release: Release, streams: Streams, clip: Clip, here: Kubectl) -> None:
    release.install(replicas=2)
    running = streams.start(release.address, clip, "--live", count=4)
    release.wait_for_sessions(4)
    victim = max(release.active().items(), key=lambda entry: entry[1])[0]
    here("delete", "pod", victim, "--grace-period=0", "--force")
    assert sum(check_all(running)) >= 2, "half of the sessions, or more, were on that pod"


def evict(here: Kubectl, name: str) -> None:
    """Asks for a pod's end as `kubectl drain` does for each pod of a node."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": here.namespace}}
    path = f"/api/v1/namespaces/{here.namespace}/pods/{name}/eviction"
    here("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_eviction_moves_sessions_and_takes_one_pod_at_a_time(
    release: Release, streams: Streams, clip: Clip, here: Kubectl
) -> None:
    release.install(replicas=2)
    running = streams.start(release.address, clip, "--live", count=4)
    release.wait_for_sessions(4)
    active = release.active()
    busy = max(active, key=lambda name: active[name])
    [other] = set(active) - {busy}
    evict(here, busy)
    with pytest.raises(CommandError, match="disruption budget"):
        evict(here, other)
    assert sum(check_all(running)) >= active[busy]
    release.wait_for_ready_pods(2)


@pytest.mark.timeout(420)
def test_autoscaler_follows_the_sessions_and_cuts_none(
    release: Release, streams: Streams, long_clip: Clip, here: Kubectl, keda: None, prometheus: None
) -> None:
    autoscaling = {
        "kind": "keda",
        "maxReplicas": 3,
        "scaleUp": {"periodSeconds": 15},
        "scaleDown": {"stabilizationWindowSeconds": 15, "periodSeconds": 15},
        "keda": {"serverAddress": "http://prometheus.monitoring:9090", "pollingInterval": 5},
    }
    release.install(autoscaling=autoscaling, load={"capacityPerPod": 2, "slotsPerPod": 16})
    release.wait_for_ready_pods(1)
    [first] = release.ready_pods()
    running = streams.start(release.address, long_clip, "--live", count=4)
    log.info("1 pod became 3, all ready, in %.0f s", release.wait_for_ready_pods(3, timeout_seconds=150))
    # Kubernetes is to choose the pod that has all the sessions.
    here("annotate", "pod", name_of(first), "controller.kubernetes.io/pod-deletion-cost=-1")
    assert release.active()[name_of(first)] == 4
    for stream in running[1:]:
        stream.stop()
    log.info("3 pods became 1 in %.0f s", release.wait_for_ready_pods(1, timeout_seconds=150))
    assert name_of(first) != name_of(release.ready_pods()[0])
    assert running[0].is_running
    assert min(check_all(running[:1])) >= 1


@contextmanager
def forwarded(here: Kubectl, folder: Path) -> Iterator[str]:
    """The Service as people at their desks reach it."""
    said = folder / "port-forward"
    with said.open("w") as output:
        process = subprocess.Popen(here.arguments("port-forward", f"service/{NAME}", ":8001"), stdout=output)
    try:
        pattern = re.compile(r"127\.0\.0\.1:(\d+)")
        wait_until("the port is forwarded", lambda: bool(pattern.search(said.read_text())))
        yield f"localhost:{pattern.findall(said.read_text())[0]}"
    finally:
        process.terminate()
        process.wait()


def secret(name: str, content: dict[str, str]) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": content}


def test_tls_and_token_are_asked_of_everybody(
    release: Release, here: Kubectl, client_image: str, streams: Streams, tmp_path: Path
) -> None:
    names = ["localhost", *(f"{service}.{here.namespace}.svc" for service in (NAME, f"{NAME}-headless"))]
    certificate = make_certificate(tmp_path / "tls", *(f"DNS:{name}" for name in names))
    token = tmp_path / "token"
    token.write_text("correct-horse-battery")
    here.apply(
        secret("tls", certificate),
        secret("token", {"token": token.read_text()}),
    )
    release.install(tls={"enabled": True, "existingSecret": "tls"}, token={"enabled": True, "existingSecret": "token"})
    assert re.search(r"Phase:\s+Succeeded", release.test())
    trusting = ("--ca-file", tmp_path / "tls" / "authority.crt")
    with forwarded(here, tmp_path) as address:
        [welcome] = streams.start(address, CLIP, *trusting, "--token-file", token)
        welcome.check()
        refused = [*streams.start(address, CLIP), *streams.start(address, CLIP, *trusting)]
        refused += streams.start(address, CLIP, *trusting, "--token", "wrong")
        for stream in refused:
            assert stream.wait(60) == 1, stream.said
    manifest = pod("client", client_image, *segclient(release.headless, CLIP_IN_IMAGE, "--ca-file /secret/ca.crt"))
    add_secret(manifest, "tls", "/secret")
    environment = {"name": "SEGCLIENT_TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}
    manifest["spec"]["containers"][0]["env"] = [environment]
    check_reports(run_in_a_pod(here, manifest), 1)


def token_of(here: Kubectl) -> str:
    """The token that the chart has made, as the notes tell people to get it."""
    return base64.b64decode(here.get("secret", f"{NAME}-token")["data"]["token"]).decode()


def everything(here: Kubectl) -> set[str]:
    """All that is in the namespace, of every kind, as KIND/NAME; events and records of them are not."""
    kinds = here("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kept = [kind for kind in kinds if not kind.startswith(("events", "pods.metrics"))]
    found = here("get", ",".join(kept), "-o", "name", "--ignore-not-found")
    return set(found.split())


def test_uninstalled_release_leaves_nothing(
    release: Release, here: Kubectl, crds: None, keda: None, streams: Streams
) -> None:
    before = everything(here)
    release.install(
        autoscaling={"kind": "keda"},
        token={"enabled": True},
        gateway=GATEWAY,
        monitoring={"serviceMonitor": {"enabled": True}},
    )
    assert len(everything(here)) >= len(before) + 15
    streams.start(release.address, CLIP, "--token", token_of(here))[0].check()
    release.uninstall()
    wait_until(
        "nothing is left",
        lambda: everything(here) <= before,
        timeout_seconds=60,
        explain=lambda: str(everything(here) - before),
    )
