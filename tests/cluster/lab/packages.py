"""The Debian packages that the lab uses: installed when root asks for them, else named in a line to paste."""

import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.shell import LabError, attempt, run

log = logging.getLogger(__name__)

# A command, or a file, by which one sees that the package is there.
NODE = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "ipset": "ipset",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "socat": "socat",
    "mount": "mount",
    "openssl": "openssl",
    "buildah": "buildah",
}
BASE_IMAGE = {"buildah": "buildah", "debootstrap": "debootstrap"}
PROMETHEUS = {"prometheus": "prometheus", "promtool": "prometheus"}

# Another installation may be under way, as of a machine's own upgrades.
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300")

POLICY = Path("/usr/sbin/policy-rc.d")
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def ensure(needed: dict[str, str]) -> None:
    """Installs what is missing."""
    missing = sorted({package for sign, package in needed.items() if not is_there(sign)})
    if not missing:
        return
    install = [*APT, "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        line = f"sudo apt-get update && sudo {shlex.join(install)}"
        raise LabError(f"some Debian packages are missing; paste this, then go on:  {line}")
    log.info("installing %s", " ".join(missing))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with services_kept_off():
        if attempt(*install, environment=environment).returncode != 0:
            run(*APT, "update", environment=environment)
            run(*install, environment=environment)


def is_there(sign: str) -> bool:
    """Whether a command or file exists."""
    return Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=search_path()) is not None


def search_path() -> str:
    """PATH with the system's folders, which a user's often lacks."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}"


@contextmanager
def services_kept_off() -> Iterator[None]:
    """Keeps Debian from starting a service because its package was installed: the lab starts its own."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
