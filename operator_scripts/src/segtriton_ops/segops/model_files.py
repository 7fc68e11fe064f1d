"""Files of models and their checksums, here and in a container, by their paths in a repository, `selfie/1/model.py`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from segtriton_ops.segops.kubernetes_api import Cluster

CONFIG = "config.pbtxt"
MANIFEST = "SHA256SUMS"
Sums = dict[str, str]

# Hidden files, what Python has compiled, what a file system keeps, and the manifests are not the model's.
_PRUNED = r"""cd "$1" && find -L . \( -name '.?*' -o -name __pycache__ -o -name lost+found \) -prune"""
_SUMS = f"{_PRUNED} -o -type f -not -name {MANIFEST} -exec sha256sum {{}} +"
_MANIFESTS = f"{_PRUNED} -o -type f -name {MANIFEST} -exec grep -H '' {{}} +"


def sums_here(folder: Path) -> Sums:
    """Return the SHA-256 of a folder's files by their paths in it, without hidden and compiled ones and manifests."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: digest_of(path) for name, path in found.items() if not _is_left_out(name)}


def digest_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sums_there(cluster: Cluster, pod: str, container: str, folder: str) -> Sums:
    """Return the same of a folder in a container; raises ClusterError where there is none."""
    return parse_sums(cluster.execute(pod, container, ["sh", "-c", _SUMS, "sh", folder]))


def parse_sums(text: str) -> Sums:
    """Read what `sha256sum` prints."""
    lines = (line.split(maxsplit=1) for line in text.splitlines())
    return {PurePosixPath(name.lstrip("*")).as_posix(): digest for digest, name in lines}


def manifests_there(cluster: Cluster, pod: str, container: str, folder: str) -> Sums:
    """Return what the manifests in a folder of a container say that its files are."""
    return parse_manifests(cluster.execute(pod, container, ["sh", "-c", _MANIFESTS, "sh", folder]))


def parse_manifests(text: str) -> Sums:
    """Read lines of manifests, each after the manifest's path; a manifest names files beside and below it."""
    wanted: Sums = {}
    for line in text.splitlines():
        manifest, _, entry = line.partition(":")
        wanted |= {str(PurePosixPath(manifest).parent / name): digest for name, digest in parse_sums(entry).items()}
    return wanted


def format_sums(sums: Mapping[str, str]) -> str:
    """Return sums as `sha256sum` prints them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def versions_of(sums: Mapping[str, str], model: str) -> list[int]:
    """Return a model's versions, its folders with a number for a name."""
    seconds = {path.split("/")[1] for path in sums if path.startswith(f"{model}/") and path.count("/") > 1}
    return sorted(int(name) for name in seconds if is_version(name))


def models_of(sums: Mapping[str, str]) -> list[str]:
    """Return the models, which are folders with a configuration."""
    return sorted(path.partition("/")[0] for path in sums if path.count("/") == 1 and path.endswith(f"/{CONFIG}"))


def is_version(name: str) -> bool:
    """Return whether Triton takes a folder for a version: a positive number that does not begin with 0."""
    return name.isascii() and name.isdecimal() and not name.startswith("0")


def _is_left_out(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool({"__pycache__", MANIFEST} & {*parts}) or any(part.startswith(".") for part in parts)
