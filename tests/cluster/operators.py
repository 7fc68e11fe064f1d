"""segops as a person with the rights of one role, and no others."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import toolchain
from lab.kubernetes import Json, Kubectl
from lab.settings import REPOSITORY

SEGOPS = Path(sys.executable).with_name("segops")
ROLES = REPOSITORY / "operator_scripts" / "rbac"


@dataclass(frozen=True)
class Said:
    """What a run of segops said."""

    status: int
    text: str
    errors: str

    @property
    def result(self) -> Any:
        return json.loads(self.text)

    def check(self) -> "Said":
        assert self.status == 0, f"segops ended with status {self.status} and said:\n{self.text}\n{self.errors}"
        return self


class Operator:
    """Somebody whose only rights are those of `operator_scripts/rbac/ROLE.yaml`."""

    def __init__(self, here: Kubectl, role: str, folder: Path) -> None:
        self._namespace = here.namespace
        self._kubeconfig = folder / f"{role}.kubeconfig"
        [manifest] = toolchain.yaml_documents(ROLES / f"{role}.yaml")
        here.apply(manifest)
        account = f"operator-{role}"
        here.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
            binding(manifest, account, here.namespace),
        )
        token = here("create", "token", account).strip()
        self._kubeconfig.write_text(json.dumps(kubeconfig(here, token)))

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Begins a run of segops."""
        where = ("--kubeconfig", self._kubeconfig, "-n", self._namespace)
        command = [str(part) for part in (SEGOPS, *where, *arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __call__(self, *arguments: object, timeout_seconds: float = 200) -> Said:
        """Runs segops to its end."""
        process = self.start(*arguments)
        try:
            text, errors = process.communicate(timeout=timeout_seconds)
        finally:
            process.kill()
        return Said(process.returncode, text, errors)


def binding(role: Json, account: str, namespace: str) -> Json:
    kind = f"{role['kind']}Binding"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"]}
    name = f"{account}-{namespace}"
    made = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
    return {**made, "roleRef": reference, "subjects": [subject]}


def kubeconfig(here: Kubectl, token: str) -> Json:
    """The cluster of the administrator's kubeconfig, with another user."""
    shown: Json = json.loads(here("config", "view", "--raw", "--minify", "-o", "json"))
    context = {"cluster": shown["clusters"][0]["name"], "user": "operator"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": shown["clusters"],
        "users": [{"name": "operator", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }


Hire = Callable[[str], Operator]
