"""Makes the virtual environment in `.venv`, from nothing but a Python 3 and the package registries.

Run by the Makefile, one step at a time; each step leaves a stamp in `.venv/.stamps`:

- `interpreter`: finds a Python that Triton can embed, and makes the environment with it;
- `packages`: installs what the lock files name, checked by hash;
- `distributions`: installs this tree's own packages, editable.

Triton's Python backend embeds `libpython3.X.so.1.0`, and its wheel needs NumPy 1, which exists for CPython up to 3.12.
So the interpreter must be one of `SUPPORTED`, with that library and with `ensurepip`. Debian and Ubuntu ship both in
packages of their own: these are installed when root runs this, and named in a line to paste otherwise.
Where no supported Python exists, uv brings one. Standard library only; must itself run on any Python 3.8 or newer.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / ".stamps"
SUPPORTED = ("3.12", "3.11", "3.10")
BROUGHT_BY_UV = "3.12"

PROBE = """
import ctypes, importlib.util, json, os, sys, sysconfig
library = "libpython%d.%d.so.1.0" % sys.version_info[:2]
folders = [sysconfig.get_config_var("LIBDIR") or "", os.path.join(sys.base_prefix, "lib")]
has_library = any(os.path.exists(os.path.join(folder, library)) for folder in folders)
if not has_library:
    try:
        ctypes.CDLL(library)
        has_library = True
    except OSError:
        pass
print(json.dumps({
    "path": sys.executable,
    "version": "%d.%d" % sys.version_info[:2],
    "is_system": sys.base_prefix == "/usr",
    "has_venv": bool(importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")),
    "has_library": has_library,
}))
"""


class Interpreter(NamedTuple):
    """A Python on this machine and what it can do."""

    path: str
    version: str
    is_system: bool
    has_venv: bool
    has_library: bool

    @property
    def is_supported(self) -> bool:
        """Whether everything locked here exists for this version."""
        return self.version in SUPPORTED

    @property
    def is_complete(self) -> bool:
        """Whether it can make environments, and Triton can embed it."""
        return self.has_venv and self.has_library


def fail(message: str) -> NoReturn:
    """Ends the set-up with one message, no trace."""
    sys.exit(f"setup: {message}")


def probe(command: str) -> Interpreter | None:
    """Asks a Python about itself; None if there is none, or if it does not run."""
    path = shutil.which(command)
    if path is None:
        return None
    result = subprocess.run([path, "-I", "-c", PROBE], capture_output=True, text=True, check=False)
    return Interpreter(**json.loads(result.stdout)) if result.returncode == 0 else None


def find_interpreters() -> list[Interpreter]:
    """Every supported Python here: the one that runs this first, then those on PATH, then the system's."""
    commands = [sys.executable, *(f"python{version}" for version in SUPPORTED)]
    commands += [f"/usr/bin/python{version}" for version in SUPPORTED]
    found = {probed.path: probed for probed in map(probe, commands) if probed and probed.is_supported}
    return [interpreter for path, interpreter in found.items() if VENV not in Path(path).parents]


def apt_line(interpreter: Interpreter) -> list[str] | None:
    """The packages that complete a Python of Debian or Ubuntu; None where apt cannot help."""
    if not (interpreter.is_system and shutil.which("apt-get")):
        return None
    version = interpreter.version
    return [f"python{version}-venv", f"libpython{version}"]


def complete_with_apt(interpreter: Interpreter) -> Interpreter:
    """Installs what the system's Python lacks, or says how."""
    packages = apt_line(interpreter) or []
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if os.geteuid() != 0:
        line = f"sudo apt-get update && sudo {shlex.join(install)}"
        fail(f"the system lacks some parts of Python; paste this, then go on:  {line}")
    print(f"setup: installing {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], [*install, "-qq"]):
        result = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if result.returncode != 0:
            fail(f"`{shlex.join(command)}` failed (see above); mend the machine's package sources, then go on")
    completed = probe(interpreter.path)
    if completed is None or not completed.is_complete:
        fail(f"{interpreter.path} still lacks venv or libpython after installing {' '.join(packages)}")
    return completed


def locked_requirement(name: str) -> str:
    """One package's lines of requirements.lock, with its hashes."""
    lines = (ROOT / "requirements.lock").read_text().splitlines(keepends=True)
    start = next(index for index, line in enumerate(lines) if line.startswith(f"{name}=="))
    end = start + 1
    while end < len(lines) and lines[end].startswith(" "):
        end += 1
    return "".join(lines[start:end]).replace("python_full_version < '3.13' and ", "")


def bring_with_uv(folder: Path) -> Interpreter | None:
    """Has uv install a Python that Triton can embed; None where that is out of reach."""
    uv = shutil.which("uv") or install_uv(folder)
    if uv is None:
        return None
    print(
        f"setup: no Python {' or '.join(SUPPORTED)} with its shared library here, fetching {BROUGHT_BY_UV}", flush=True
    )
    if subprocess.run([uv, "python", "install", BROUGHT_BY_UV], check=False).returncode != 0:
        return None
    command = [uv, "python", "find", "--managed-python", "--no-project", BROUGHT_BY_UV]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return probe(found.stdout.strip()) if found.returncode == 0 else None


def install_uv(folder: Path) -> str | None:
    """Installs the locked uv into a throw-away environment of the Python at hand."""
    running = probe(sys.executable)
    if running and not running.has_venv and apt_line(running):
        complete_with_apt(running)
    requirement = folder / "uv.txt"
    requirement.write_text(locked_requirement("uv"))
    commands = (
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [
            str(folder / "venv/bin/python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            str(requirement),
        ],
    )
    for command in commands:
        if subprocess.run(command, check=False).returncode != 0:
            return None
    return str(folder / "venv/bin/uv")


def choose_interpreter() -> Interpreter:
    """The first complete Python, else one that apt completes, else one that uv brings."""
    candidates = find_interpreters()
    for candidate in candidates:
        if candidate.is_complete:
            return candidate
    for candidate in candidates:
        if apt_line(candidate):
            return complete_with_apt(candidate)
    with tempfile.TemporaryDirectory() as folder:
        brought = bring_with_uv(Path(folder))
    if brought is None or not brought.is_complete:
        fail(
            f"Triton needs a Python {' or '.join(SUPPORTED)} with its shared library, and none is here or could be "
            "fetched; set UV_PYTHON_INSTALL_MIRROR to where uv can fetch one, or install one (built with "
            f"--enable-shared) and run: make setup PYTHON=/path/to/python{BROUGHT_BY_UV}"
        )
    return brought


def make_interpreter() -> None:
    """Makes the environment, or keeps one that already fits."""
    existing = probe(str(VENV / "bin/python"))
    if existing and existing.is_supported and existing.is_complete:
        return
    chosen = choose_interpreter()
    print(f"setup: Python {chosen.version} of {chosen.path}", flush=True)
    command = [chosen.path, "-m", "venv", "--clear", str(VENV)]
    if subprocess.run(command, check=False).returncode != 0:
        fail(f"`{shlex.join(command)}` failed (see above)")


def pip_install(what: str, *arguments: str) -> None:
    """Runs pip in the environment; on failure says what to look at."""
    print(f"setup: installing {what}", flush=True)
    command = [str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        fail(
            f"pip could not install {what} (the package is named above). If the registry is out of reach, set "
            "PIP_INDEX_URL to one that is not, HTTPS_PROXY to the way out or PIP_CERT to its certificates, then go on"
        )


def install_packages() -> None:
    """Installs what the lock files name; of Triton's wheel only the binary is wanted, so none of its dependencies."""
    pip_install("the locked packages", "--require-hashes", "-r", "requirements.lock")
    pip_install("Triton", "--require-hashes", "--no-deps", "-r", "server/triton.lock")


def install_distributions() -> None:
    """Installs this tree's packages; all that building them needs is in the lock file."""
    distributions = ("protocol", "server", "client", "operator_scripts")
    editable = [argument for name in distributions for argument in ("--editable", f"./{name}")]
    pip_install("segtriton", "--no-deps", "--no-build-isolation", *editable)


STEPS = {"interpreter": make_interpreter, "packages": install_packages, "distributions": install_distributions}


def main() -> None:
    """Does one step and stamps it."""
    if len(sys.argv) != 2 or sys.argv[1] not in STEPS:
        fail(f"usage: environment.py {'|'.join(STEPS)}")
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        fail("Triton's binary exists for Linux on x86-64 only; use such a machine or a container on one")
    STEPS[sys.argv[1]]()
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / sys.argv[1]).touch()


if __name__ == "__main__":
    main()
