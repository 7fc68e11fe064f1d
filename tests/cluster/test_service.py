"""The installed service: streamed through from everywhere, secured, removed without a trace."""

import json
import logging
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client_pods import CLIP_IN_IMAGE, add_secret, check_reports, pod, run_in_a_pod, secret, segclient
from lab.kubernetes import Helm, Kubectl
from lab.shell import run, wait_until
from release import NAME, Release, make_certificate, metric, name_of
from streams import CLIP, SEGCLIENT, Streams

log = logging.getLogger(__name__)

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


def test_installed_service_streams_to_clients_outside_and_inside(
    helm: Helm, here: Kubectl, server_image: str, client_image: str, streams: Streams
) -> None:
    release = Release(helm, here, server_image)
    release.install()
    assert re.search(r"Phase:\s+Succeeded", release.test())
    models = run(SEGCLIENT, "models", "--endpoint", release.address).splitlines()
    assert models == ["selfie", "selfie_streaming  Apache-2.0: background, person"]
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
    streams.start(release.address, CLIP, "--token", release.token)[0].check()
    release.uninstall()
    wait_until(
        "nothing is left",
        lambda: everything(here) <= before,
        timeout_seconds=60,
        explain=lambda: str(everything(here) - before),
    )
