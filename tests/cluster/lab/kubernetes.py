"""kubectl and helm, bound to one cluster."""

import json
import logging
import os
from pathlib import Path
from typing import Any

from lab.shell import LabError, attempt, run, wait_until
from lab.toolchain import command

log = logging.getLogger(__name__)

Json = dict[str, Any]


class Kubectl:
    """Runs kubectl against one cluster, in one namespace if one is named."""

    def __init__(self, kubeconfig: Path, namespace: str = "") -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def in_namespace(self, namespace: str) -> "Kubectl":
        """The same cluster, seen from a namespace."""
        return Kubectl(self.kubeconfig, namespace)

    def arguments(self, *arguments: str) -> list[str | Path]:
        """The whole command, for those who run it in their own way."""
        where = ["--namespace", self.namespace] if self.namespace else []
        return [command("kubectl"), "--kubeconfig", self.kubeconfig, *where, *arguments]

    def __call__(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 120) -> str:
        """Runs kubectl, which must succeed; returns what it printed."""
        return run(*self.arguments(*arguments), stdin=stdin, timeout_seconds=timeout_seconds)

    def succeeds(self, *arguments: str) -> bool:
        """Whether a command ends well."""
        return attempt(*self.arguments(*arguments), timeout_seconds=60).returncode == 0

    def get(self, *what: str) -> Json:
        """An object, or a list of them with `items`."""
        found: Json = json.loads(self("get", *what, "-o", "json"))
        return found

    def items(self, *what: str) -> list[Json]:
        """The objects of a kind, `("pods", "-l", "app=x")`."""
        found: list[Json] = self.get(*what)["items"]
        return found

    def apply(self, *objects: Json, server_side: bool = False) -> None:
        """Creates or changes objects."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self("apply", "-f", "-", *(["--server-side", "--force-conflicts"] if server_side else []), stdin=text)

    def apply_files(self, *paths: Path, server_side: bool = False) -> None:
        """Creates or changes what files describe."""
        files = [argument for path in paths for argument in ("-f", str(path))]
        self("apply", *files, *(["--server-side", "--force-conflicts"] if server_side else []))

    def wait_for_rollout(self, workload: str, timeout_seconds: float = 120) -> None:
        """Waits until every pod of `deployment/x` is up to date and ready; else says what its pods lack."""
        wait_until(
            f"{workload} is rolled out",
            lambda: self.succeeds("rollout", "status", workload, "--timeout=5s"),
            timeout_seconds=timeout_seconds,
            explain=self.describe_trouble,
        )

    def wait_for_pod(self, name: str, phase: str = "Running", timeout_seconds: float = 60) -> None:
        """Waits for a pod's phase; Running means ready, too."""

        def is_there() -> bool:
            status = self.get("pod", name)["status"]
            if status.get("phase") == "Failed" != phase:
                logs = attempt(*self.arguments("logs", name, "--all-containers", "--tail=30")).stdout
                raise LabError(f"pod {name} has failed:\n{logs}")
            return status.get("phase") == phase and (phase != "Running" or is_ready(status))

        wait_until(f"pod {name} is {phase}", is_there, timeout_seconds=timeout_seconds, explain=self.describe_trouble)

    def describe_trouble(self) -> str:
        """What a reader of a failed test wants to see: the pods and the latest events."""
        pods = attempt(*self.arguments("get", "pods", "-o", "wide")).stdout
        events = attempt(*self.arguments("get", "events", "--sort-by=.lastTimestamp")).stdout
        return "\n".join([pods, *events.splitlines()[-20:]])


def conditions(status: Json) -> list[Json]:
    """The conditions in an object's status."""
    found: list[Json] = status.get("conditions") or []
    return found


def is_ready(status: Json) -> bool:
    """Whether a pod or a node is ready, by its status."""
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions(status))


class Helm:
    """Runs Helm of one major version against one cluster and namespace."""

    def __init__(self, kubeconfig: Path, namespace: str, major: int = 3) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.major = major

    def __call__(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 600) -> str:
        """Runs helm, which must succeed; returns what it printed."""
        return run(
            command(f"helm{self.major}"),
            f"--kubeconfig={self.kubeconfig}",
            f"--namespace={self.namespace}",
            *arguments,
            stdin=stdin,
            environment=self.environment(),
            timeout_seconds=timeout_seconds,
        )

    def environment(self) -> dict[str, str]:
        """Without the user's own repositories and plug-ins."""
        folder = str(self.kubeconfig.parent / f"helm{self.major}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HELM_")}
        return {**kept, "HELM_CACHE_HOME": folder, "HELM_CONFIG_HOME": folder, "HELM_DATA_HOME": folder}


def node_is_ready(kubectl: Kubectl) -> bool:
    """Whether the API answers, and some node is ready for pods."""
    said = attempt(*kubectl.arguments("get", "nodes", "-o", "json"), timeout_seconds=30)
    if said.returncode != 0:
        return False
    return any(is_ready(node["status"]) for node in json.loads(said.stdout)["items"])
