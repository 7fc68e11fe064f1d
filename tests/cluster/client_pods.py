"""segclient in pods of the cluster, and what they must report."""

import json

from lab.kubernetes import Json, Kubectl
from release import name_of
from streams import FRAMES

CLIP_IN_IMAGE = "/opt/segtriton/clips/carphone_pristine.mp4"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, image: str, *command: str) -> Json:
    """A client's pod under Pod Security "restricted"."""
    container = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}],
        },
    }


def secret(name: str, content: dict[str, str]) -> Json:
    """A secret's manifest."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": content}


def add_secret(pod: Json, secret: str, folder: str) -> None:
    """Lets a pod see a secret's keys as files."""
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": secret, "mountPath": folder})
    pod["spec"]["volumes"].append({"name": secret, "secret": {"secretName": secret}})


def add_claim(pod: Json, claim: str, folder: str) -> None:
    """Lets a pod read and write a claim."""
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": claim, "mountPath": folder})
    pod["spec"]["volumes"].append({"name": claim, "persistentVolumeClaim": {"claimName": claim}})


def run_in_a_pod(here: Kubectl, manifest: Json, timeout_seconds: float = 90) -> str:
    """What a pod printed, once it has ended well."""
    here.apply(manifest)
    here.wait_for_pod(name_of(manifest), "Succeeded", timeout_seconds=timeout_seconds)
    return here("logs", name_of(manifest))


def segclient(endpoint: str, clip: str, options: str = "", sessions: int = 1) -> list[str]:
    """A command for a shell in a pod: sessions at once, then their reports, one a line."""
    one = f"segclient --endpoint {endpoint} -sv {clip} --effect mask {options} -o /tmp/$n.mp4 --report /tmp/$n.json"
    each = f'for n in $(seq {sessions}); do {one} & all="$all $!"; done; for p in $all; do wait $p || exit 1; done'
    return ["sh", "-c", f"{each}; cat /tmp/*.json | tr -d '\\n' | sed 's/}}{{/}}\\n{{/g'"]


def check_reports(logs: str, count: int, frames: int = FRAMES) -> None:
    """Every frame came back to as many sessions."""
    reports = [json.loads(line) for line in logs.splitlines() if line.startswith("{")]
    assert len(reports) == count, logs
    for report in reports:
        assert report["frames_in"] == report["frames_out"] == frames, report
        assert not report["frames_dropped"], report
