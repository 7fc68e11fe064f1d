"""The chart as installed by Helm, and the pods that it made."""

import base64
import json
import re
import urllib.request
from pathlib import Path

from lab.certificates import Identity, issue, make_authority
from lab.kubernetes import Helm, Json, Kubectl, is_ready
from lab.settings import REPOSITORY
from lab.shell import CommandError, LabError, wait_until

CHART = REPOSITORY / "charts" / "segtriton"
NAME = "segtriton"
SECONDS = "180s"
# Small, for a lab of two cores, and quick to leave.
VALUES: Json = {
    "accelerator": "cpu",
    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
    "shm": {"size": "256Mi"},
    "tmpSize": "256Mi",
    "load": {"capacityPerPod": 4, "slotsPerPod": 16},
    "settings": {"workers": 2},
    "probes": {"periodSeconds": 2},
    # The tests read the pods' metrics from outside.
    "networkPolicy": {"monitoring": {"tests": {"ipBlock": {"cidr": "0.0.0.0/0"}}}},
    "drain": {"endpointDelaySeconds": 3, "maxWaitSeconds": 30, "exitTimeoutSeconds": 10, "unloadSeconds": 5},
}


class Release:
    """One installation in one namespace."""

    chart = CHART

    def __init__(self, helm: Helm, kubectl: Kubectl, image: str) -> None:
        self._helm = helm
        self._kubectl = kubectl
        registry, _, _ = image.partition("/segtriton/")
        self.image: Json = {"registry": registry, "tag": image.rpartition(":")[2]}
        self._given: Json = {}

    def install(self, **values: object) -> None:
        """Installs and waits until all pods are ready."""
        self._given = values
        self._apply("install")

    def upgrade(self, **values: object) -> None:
        """Changes values and waits until the new pods are ready; old ones may still drain."""
        self._given |= values
        self._apply("upgrade")

    def _apply(self, verb: str) -> None:
        values = json.dumps({"image": self.image, **VALUES, **self._given})
        try:
            self._helm(verb, NAME, str(self.chart), "--values=-", "--wait", f"--timeout={SECONDS}", stdin=values)
        except CommandError as error:
            raise LabError(f"{error}\n{self._kubectl.describe_trouble()}") from None

    def test(self) -> str:
        """What `helm test` says; with --logs Helm 3 would look for a pod that it has already removed."""
        return self._helm("test", NAME)

    def uninstall(self) -> None:
        """Removes it, and waits until Helm calls it gone."""
        self._helm("uninstall", NAME, "--wait", f"--timeout={SECONDS}")

    @property
    def address(self) -> str:
        """Where hosts of the cluster reach the Service."""
        return f"{self._kubectl.get('service', NAME)['spec']['clusterIP']}:8001"

    @property
    def headless(self) -> str:
        """What clients in the cluster say to see all pods."""
        return f"dns:///{NAME}-headless.{self._kubectl.namespace}.svc:8001"

    @property
    def token(self) -> str:
        """The one that the chart has made, as the notes tell people to get it."""
        return base64.b64decode(self._kubectl.get("secret", f"{NAME}-token")["data"]["token"]).decode()

    def pods(self) -> list[Json]:
        """Its pods that are not on their way out."""
        return [pod for pod in self._all_pods() if "deletionTimestamp" not in pod["metadata"]]

    def _all_pods(self) -> list[Json]:
        return self._kubectl.items(
            "pods", "-l", f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=server"
        )

    def ready_pods(self) -> list[Json]:
        """Those that take sessions."""
        return [pod for pod in self.pods() if is_ready(pod["status"])]

    def wait_for_ready_pods(self, count: int, timeout_seconds: float = 90) -> float:
        """Waits until exactly as many pods are there, all of them ready; returns the seconds it took."""
        return wait_until(
            f"there are {count} pods, all of them ready",
            lambda: len(self.pods()) == len(self.ready_pods()) == count,
            timeout_seconds=timeout_seconds,
            interval_seconds=0.5,
            explain=self._kubectl.describe_trouble,
        )

    def wait_until_gone(self, *names: str, timeout_seconds: float = 120) -> None:
        """Waits until pods have ended, and so have let go of their sessions."""
        wait_until(
            f"{', '.join(names)} are gone",
            lambda: not {name_of(pod) for pod in self._all_pods()} & set(names),
            timeout_seconds=timeout_seconds,
            interval_seconds=0.5,
            explain=self._kubectl.describe_trouble,
        )

    def active(self) -> dict[str, int]:
        """How many sessions each pod has."""
        return {name_of(pod): int(metric(pod, "segtriton_active_streams")) for pod in self.ready_pods()}

    def wait_for_sessions(self, count: int, timeout_seconds: float = 90) -> None:
        """Waits until as many sessions are open on all pods together."""
        wait_until(
            f"{count} sessions are open",
            lambda: sum(self.active().values()) == count,
            timeout_seconds=timeout_seconds,
            explain=lambda: f"sessions of each pod: {self.active()}",
        )


def name_of(thing: Json) -> str:
    """The name of an object."""
    name: str = thing["metadata"]["name"]
    return name


def metric(pod: Json, name: str) -> float:
    """The sum of a pod's own metric, over all labels."""
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8002/metrics", timeout=5) as reply:
        page = reply.read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE))


def make_certificate(folder: Path, *names: str) -> dict[str, str]:
    """A secret's content for TLS: an authority, and a certificate for servers of these names (`DNS:localhost`)."""
    folder.mkdir()
    make_authority(folder)
    issue(folder, Identity("server", "server", names=names))
    return tls_files(folder)


def tls_files(folder: Path) -> dict[str, str]:
    """A secret's content for TLS, from the authority and the server's certificate in a folder."""
    files = {"tls.crt": "server.crt", "tls.key": "server.key", "ca.crt": "authority.crt"}
    return {key: (folder / file).read_text() for key, file in files.items()}
