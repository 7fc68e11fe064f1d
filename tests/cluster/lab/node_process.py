"""The node itself: the first process in namespaces of its own, started by `lab.node` and by nothing else.

It hides a few folders of the host, sets up the network, starts the components and waits. As the first process of its
namespace it also inherits every process whose parent has gone, and must take notice of its end. It goes when it is
killed or when a component ends; either way the kernel ends whatever else runs in here.
"""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from lab.components import Component, components
from lab.packages import search_path
from lab.settings import CGROUP, HOST_ADDRESS, NODE_ADDRESS, NODE_NAME, POD_NETWORK, SERVICE_NETWORK, State
from lab.shell import LabError, attempt, run, wait_until
from lab.toolchain import command

log = logging.getLogger("node")

# The node needs these, and not what the host has there; where the host has none, it gets empty ones for the while.
HIDDEN_FOLDERS = ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers", "/etc/cni")
# How many processes two servers have.
_PROCESSES = 16


def hide_folders(state: State) -> None:
    """Puts folders of the cluster's state in the place of some of the host's."""
    # What a pod mounts must be seen by others where it asks for that; the host is never among them.
    run("mount", "--make-rshared", "/")
    for folder in HIDDEN_FOLDERS:
        instead = state.hidden / folder.strip("/").replace("/", "-")
        instead.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", instead, folder)


def make_cgroups() -> None:
    """Makes the group under which kubelet keeps all pods, in every hierarchy that there is."""
    for hierarchy in cgroup_hierarchies():
        group = hierarchy / CGROUP
        group.mkdir(exist_ok=True)
        # All pods together have the weight of one process of this machine otherwise, and Triton gives up a model that
        # gets no core for a second.
        for file, process in (("cpu.shares", 1024), ("cpu.weight", 100)):
            if (group / file).exists():
                (group / file).write_text(str(_PROCESSES * process))


def cgroup_hierarchies() -> list[Path]:
    """Where groups of processes are mounted: one place, or one for each controller."""
    top = Path("/sys/fs/cgroup")
    return [top] if (top / "cgroup.procs").exists() else [path for path in top.iterdir() if not path.is_symlink()]


def set_up_network() -> None:
    """Addresses, and the route to the host; the link itself comes from outside."""
    # Not to be seen in /sys, which is the host's.
    wait_until("the link to the host is there", lambda: attempt("ip", "link", "show", "eth0").returncode == 0)
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    run("ip", "route", "add", HOST_ADDRESS, "dev", "eth0")
    # Services have addresses that nothing owns; without a route the kernel would not even try.
    run("ip", "route", "add", SERVICE_NETWORK, "dev", "eth0", "src", NODE_ADDRESS)
    # Each pod has a narrower route. Who still calls one that has gone shall know at once.
    run("ip", "route", "add", "unreachable", POD_NETWORK)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def start(component: Component, state: State) -> int:
    """Starts a component with a log of its own; returns its process id."""
    with (state.logs / f"{component.name}.log").open("ab") as output:
        process = subprocess.Popen(component.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    log.info("started %s as process %d", component.name, process.pid)
    # From here on `wait_for_end` takes notice of its end, as it does for the processes that others left behind.
    process.returncode = 0
    return process.pid


def api_answers(state: State) -> bool:
    """Whether the API is ready to serve."""
    said = attempt(command("kubectl"), "--kubeconfig", state.kubeconfig("admin"), "get", "--raw", "/readyz")
    return said.returncode == 0


def start_all(state: State) -> dict[int, str]:
    """Starts the components in their order; returns their names by process id."""
    running: dict[int, str] = {}
    api_waited_for = False
    for component in components(state):
        if component.needs_api and not api_waited_for:
            wait_until("the API is ready", lambda: api_answers(state), timeout_seconds=90)
            api_waited_for = True
        running[start(component, state)] = component.name
    return running


def wait_for_end(running: dict[int, str]) -> str:
    """Waits until a component ends; returns what to say of it."""
    while True:
        process_id, status = os.wait()
        if process_id in running:
            return f"{running[process_id]} ended with status {os.waitstatus_to_exitcode(status)}"


def main() -> None:
    """Runs the node until something ends it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    os.environ["PATH"] = search_path()
    state = State(Path(sys.argv[1]))
    start_time = time.monotonic()
    try:
        hide_folders(state)
        make_cgroups()
        run("hostname", NODE_NAME)
        set_up_network()
        running = start_all(state)
    except LabError as error:
        sys.exit(f"node: {error}")
    log.info("all components started after %.1f s", time.monotonic() - start_time)
    sys.exit(f"node: {wait_for_end(running)}; see its log in {state.logs}")


if __name__ == "__main__":
    main()
