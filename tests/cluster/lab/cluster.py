"""Brings the cluster up and takes it down; with KUBECONFIG set, uses the one that it names instead."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from lab import certificates, images, node, packages
from lab.configuration import write_configuration
from lab.kubernetes import Kubectl, node_is_ready
from lab.settings import KUBECONFIG, MANIFESTS, State
from lab.shell import LabError, attempt, wait_until
from lab.toolchain import BY_NAME, build

log = logging.getLogger(__name__)

NODE_TOOLS = ("kubernetes", "coredns", "network-policies", "pause")


def given_kubeconfig() -> Path | None:
    """The cluster that the user names, if it is not the lab's own."""
    given = os.environ.get("KUBECONFIG")
    return Path(given).resolve() if given and Path(given).resolve() != KUBECONFIG else None


def up() -> Path:
    """Makes sure that a cluster runs; returns its kubeconfig."""
    given = given_kubeconfig()
    if given:
        check(given)
        return given
    start_time = time.monotonic()
    state = State.of_environment()
    prepare()
    if is_up(state):
        log.info("the cluster is up already")
    else:
        down()
        start(state)
        log.info("the cluster is up after %.1f s", time.monotonic() - start_time)
    return KUBECONFIG


def check(kubeconfig: Path) -> None:
    """Says which cluster KUBECONFIG names, and that it answers."""
    kubectl = Kubectl(kubeconfig)
    if not node_is_ready(kubectl):
        said = attempt(*kubectl.arguments("get", "nodes"), timeout_seconds=60)
        raise LabError(f"KUBECONFIG={kubeconfig} names a cluster without a ready node:\n{said.stdout}{said.stderr}")
    log.info("using the cluster that KUBECONFIG names: %s", kubectl("config", "current-context").strip())


def prepare() -> None:
    """Everything that takes long the first time: packages, tools, images."""
    images.check_rights()
    packages.ensure(packages.NODE)
    for name in NODE_TOOLS:
        build(BY_NAME[name])


def is_up(state: State) -> bool:
    """Whether the lab's cluster runs and can be used."""
    return KUBECONFIG.exists() and node.is_running(state) and node_is_ready(Kubectl(KUBECONFIG))


def start(state: State) -> None:
    """Starts a fresh cluster and waits until it can take pods."""
    state.root.mkdir(parents=True, exist_ok=True)
    state.root.chmod(0o755)
    certificates.make(state.certificates)
    write_configuration(state)
    node.start(state)
    wait_alive(state, "containerd listens", state.containerd_socket.exists)
    images.load_pause(state)
    write_kubeconfig(state)
    kubectl = Kubectl(KUBECONFIG)
    wait_alive(state, "the API answers", lambda: kubectl.succeeds("get", "--raw", "/readyz"))
    kubectl.apply_files(MANIFESTS / "node-programs.yaml")
    wait_alive(state, "the node is ready", lambda: node_is_ready(kubectl))
    # Pods are refused as long as their namespace lacks this.
    wait_alive(state, "namespaces are usable", lambda: kubectl.succeeds("get", "serviceaccount", "default"))


def wait_alive(state: State, what: str, is_so: Callable[[], bool]) -> None:
    """Waits, but not for a node that has ended."""

    def is_so_or_dead() -> bool:
        return is_so() or not node.is_running(state)

    def explain() -> str:
        return f"{node.log_tail(state, 'node')}\nall logs are in {state.logs}"

    wait_until(what, is_so_or_dead, timeout_seconds=120, explain=explain)
    if not node.is_running(state):
        raise LabError(f"the node has ended before {what}:\n{explain()}")


def write_kubeconfig(state: State) -> None:
    """Puts the administrator's kubeconfig where the repository's users look for it."""
    KUBECONFIG.parent.mkdir(exist_ok=True)
    KUBECONFIG.touch(mode=0o600)
    KUBECONFIG.write_text(state.kubeconfig("admin").read_text())


def down() -> None:
    """Ends the lab's cluster, whatever state it is in; a cluster of the user's is left alone."""
    state = State.of_environment()
    if node.Record.load(state):
        images.check_rights()
        node.stop(state)
    remove_kubeconfig()


def remove_kubeconfig() -> None:
    """Removes the kubeconfig and what Helm kept beside it."""
    if KUBECONFIG.parent.exists():
        node.remove(KUBECONFIG.parent)


def load_image(image: str) -> None:
    """Brings an image into the lab's node; clusters of users have ways of their own."""
    if given_kubeconfig():
        raise LabError("images can be loaded into the lab's own cluster only; KUBECONFIG names another")
    state = State.of_environment()
    if not node.is_running(state):
        raise LabError("no cluster is up; start one with: make cluster-up")
    images.load(state, image)


def is_up_or_given() -> bool:
    """Whether there is a cluster to use without starting one."""
    return given_kubeconfig() is not None or is_up(State.of_environment())


def require() -> Kubectl:
    """The cluster that is up, the lab's or the user's."""
    kubeconfig = given_kubeconfig() or KUBECONFIG
    if not kubeconfig.exists():
        raise LabError("no cluster is up; start one with: make cluster-up")
    return Kubectl(kubeconfig)
