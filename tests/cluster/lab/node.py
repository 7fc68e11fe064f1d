"""Starts and ends the node's process, and undoes the little of the host that it needs changed.

What lies outside the namespaces: one link with its route, empty folders as places for mounts, the groups of processes
that kubelet makes, a few kernel settings that kubelet insists on, and the folder of the cluster's state.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.node_process import HIDDEN_FOLDERS, cgroup_hierarchies
from lab.settings import CGROUP, CLUSTER_FOLDER, HOST_ADDRESS, LINK, NETWORK, NODE_ADDRESS, State
from lab.shell import LabError, attempt, run, wait_until

log = logging.getLogger(__name__)

# Kubelet sets these, for the whole machine.
KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


@dataclass
class Record:
    """What must be known to take the node down, on disk from before anything is changed."""

    made_folders: list[str] = field(default_factory=list)
    kernel_settings: dict[str, str] = field(default_factory=dict)
    process_id: int = 0
    process_start: str = ""

    def save(self, state: State) -> None:
        """Writes it to the state."""
        state.node_record.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, state: State) -> "Record | None":
        """The record of a state; None where no cluster was started."""
        return cls(**json.loads(state.node_record.read_text())) if state.node_record.exists() else None

    @property
    def is_running(self) -> bool:
        """Whether the very process still runs, and not another that got its number."""
        return self.process_id > 0 and start_of_process(self.process_id) == self.process_start


def start_of_process(process_id: int) -> str:
    """When a process began, in ticks since the machine did; empty when it has gone."""
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    is_dead = fields[0] in "ZX"
    return "" if is_dead else fields[19]


def is_running(state: State) -> bool:
    """Whether the node's process is there."""
    record = Record.load(state)
    return record is not None and record.is_running


def start(state: State) -> None:
    """Starts the node; it goes on by itself."""
    for folder in (state.logs / "pods", state.loaded_images):
        folder.mkdir(parents=True, exist_ok=True)
    settings = {name: read_setting(name) for name in KERNEL_SETTINGS}
    record = Record([folder for folder in HIDDEN_FOLDERS if not Path(folder).exists()], settings)
    record.save(state)
    for made in record.made_folders:
        Path(made).mkdir(parents=True)
    # The record must know the process before the process can leave anything behind.
    process = start_process(state)
    record.process_id, record.process_start = process.pid, start_of_process(process.pid)
    record.save(state)
    connect(state, process.pid)


def start_process(state: State) -> "subprocess.Popen[bytes]":
    """Starts `lab.node_process` in new namespaces, which end with the process that is returned."""
    namespaces = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child")
    environment = {**os.environ, "PYTHONPATH": str(CLUSTER_FOLDER), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("KUBECONFIG", None)
    with (state.logs / "node.log").open("ab") as output:
        return subprocess.Popen(
            ["unshare", *namespaces, sys.executable, "-m", "lab.node_process", str(state.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=environment,
            start_new_session=True,
        )


def connect(state: State, process_id: int) -> None:
    """Lays the link between host and node, and the host's route to pods and services."""

    def has_network() -> bool:
        if not start_of_process(process_id):
            raise LabError(f"the node ended at once:\n{log_tail(state, 'node')}")
        return Path(f"/proc/{process_id}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()

    wait_until("the node has a network of its own", has_network)
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", str(process_id))
    run("ip", "address", "add", f"{HOST_ADDRESS}/32", "dev", LINK)
    run("ip", "link", "set", LINK, "up")
    run("ip", "route", "add", NODE_ADDRESS, "dev", LINK, "src", HOST_ADDRESS)
    run("ip", "route", "add", NETWORK, "via", NODE_ADDRESS, "dev", LINK, "src", HOST_ADDRESS)


def stop(state: State) -> None:
    """Ends the node and undoes what it needed; takes a half-started or half-ended one as well."""
    record = Record.load(state)
    if record is None:
        if state.root.exists() and any(state.root.iterdir()):
            raise LabError(f"{state.root} is not a cluster's state, so it is left alone")
        return
    end_process(record)
    if attempt("ip", "link", "show", LINK).returncode == 0:
        attempt("ip", "link", "delete", LINK)
    remove_cgroups()
    for name, value in record.kernel_settings.items():
        restore_setting(name, value)
    for folder in record.made_folders:
        if Path(folder).exists() and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    # The record goes last: as long as it is there, this can be done again.
    for entry in state.root.iterdir():
        if entry != state.node_record:
            remove(entry)
    state.node_record.unlink()
    state.root.rmdir()


def remove(entry: Path) -> None:
    """Removes a file or a folder with all that is in it."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def end_process(record: Record) -> None:
    """Kills the node's first process; the kernel kills the rest before that one is gone."""
    if not record.is_running:
        return
    first = first_process(record.process_id)
    begin = start_of_process(first) if first else ""
    os.kill(first or record.process_id, signal.SIGKILL)
    wait_until(
        "the node's processes have ended",
        lambda: not record.is_running and not (first and begin and start_of_process(first) == begin),
        timeout_seconds=60,
        interval_seconds=0.05,
    )


def first_process(parent: int) -> int:
    """The number that the host gives to the node's first process; 0 if there is none yet."""
    children = attempt("ps", "--ppid", str(parent), "-o", "pid=").stdout.split()
    return int(children[0]) if children else 0


def remove_cgroups() -> None:
    """Removes the groups of the node's processes, innermost first."""
    for hierarchy in cgroup_hierarchies():
        top = hierarchy / CGROUP
        if not top.exists():
            continue
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            remove_group(group)
        remove_group(top)


def remove_group(group: Path) -> None:
    """A group stays busy for a moment after its last process."""

    def is_gone() -> bool:
        try:
            group.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    wait_until(f"{group} is empty", is_gone, timeout_seconds=10, interval_seconds=0.05)


def read_setting(name: str) -> str:
    """The value of a kernel setting; empty where the kernel lacks it."""
    path = Path("/proc/sys", name)
    return path.read_text().strip() if path.exists() else ""


def restore_setting(name: str, value: str) -> None:
    """Writes a kernel setting back if it has changed."""
    if value and read_setting(name) != value:
        Path("/proc/sys", name).write_text(value)


def log_tail(state: State, name: str, num_lines: int = 15) -> str:
    """The last lines of one component's log."""
    path = state.logs / f"{name}.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-num_lines:]) if path.exists() else ""
