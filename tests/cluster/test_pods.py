"""Pods that are restarted serve again, with the newest certificate; what their memory does not hold is refused."""

import json
import logging
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from client_pods import secret
from lab.certificates import Identity, issue, make_authority
from lab.kubernetes import Json, Kubectl
from lab.shell import wait_until
from raw_client import RawStream, read_clip, stream_clip
from release import Release, name_of, tls_files
from streams import CLIP, Clip, Streams, check_all

from segtriton_protocol import ErrorCode, SegtritonError

log = logging.getLogger(__name__)

KILL_THE_ROUTER = """
import os, pathlib, signal
for process in pathlib.Path("/proc").glob("[0-9]*"):
    command = (process / "cmdline").read_bytes()
    if b"selfie_streaming/1/model.py" in command and int(process.name) != os.getpid():
        os.kill(int(process.name), signal.SIGKILL)
"""


def restarts(pod: Json) -> int:
    count: int = pod["status"]["containerStatuses"][0]["restartCount"]
    return count


def python(here: Kubectl, pod: Json, script: str) -> str:
    return here("exec", name_of(pod), "--", "python3", "-c", script)


def test_a_pod_that_drained_when_it_was_restarted_serves_again(
    release: Release, here: Kubectl, streams: Streams
) -> None:
    release.install(probes={"periodSeconds": 2, "livenessFailures": 2})
    [pod] = release.ready_pods()
    here("exec", name_of(pod), "--", "segtriton-drain", "--endpoint-delay=0", "--max-wait=0")
    python(here, pod, KILL_THE_ROUTER)
    wait_until(
        "the container was restarted and is ready",
        lambda: [restarts(pod) for pod in release.ready_pods()] == [1],
        timeout_seconds=150,
        interval_seconds=0.5,
        explain=here.describe_trouble,
    )
    files = python(here, pod, "import os; print(*os.listdir('/tmp'))")
    assert "segtriton-draining" in files, "the order to its earlier life is still there"
    streams.start(release.address, CLIP)[0].check()


def test_a_renewed_certificate_is_served_and_costs_no_frame(
    release: Release, here: Kubectl, streams: Streams, camera: Clip, tmp_path: Path
) -> None:
    release.install(replicas=2)
    make_authority(tmp_path)
    server = Identity("server", "server", names=(f"IP:{release.address.partition(':')[0]}",))

    def renew() -> str:
        issue(tmp_path, server)
        files = tls_files(tmp_path)
        here.apply(secret("tls", files))
        return files["tls.crt"]

    renew()
    tls = {"enabled": True, "existingSecret": "tls", "renewalSpreadSeconds": 60}
    release.upgrade(tls=tls, probes={"periodSeconds": 2, "livenessFailures": 2})
    release.wait_for_ready_pods(2)
    running = streams.start(release.address, camera, "--ca-file", tmp_path / "authority.crt", count=4)
    release.wait_for_sessions(4)

    certificate = renew()
    seconds = wait_until(
        "both pods have restarted and are ready",
        lambda: [restarts(pod) for pod in release.ready_pods()] == [1, 1],
        timeout_seconds=240,
        interval_seconds=0.5,
        explain=here.describe_trouble,
    )
    log.info("a renewed certificate was served by both pods after %.0f s", seconds)
    for pod in release.ready_pods():
        assert ssl.get_server_certificate((pod["status"]["podIP"], 8001)).split() == certificate.split()
    assert sum(check_all(running, are_told=False)) >= 4, "each pod went, and so each session at least once"
    reasons = json.dumps(here.items("events"))
    assert "the certificates were renewed, a restart is due" in reasons


def test_pictures_that_the_memory_of_a_pod_does_not_hold_are_refused(release: Release, here: Kubectl) -> None:
    release.install()
    clip = read_clip("carphone_pristine.mp4")
    for _ in range(2):
        with RawStream(release.address) as stream, pytest.raises(SegtritonError) as caught:
            stream.open(replace(clip, format=replace(clip.format, width=8192, height=4320)))
        assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
    assert stream_clip(release.address, clip).pts == clip.pts
    [pod] = release.ready_pods()
    assert restarts(pod) == 0
    assert "memory: 2048 MiB in all" in here("logs", name_of(pod))
