"""Every locked package is in the table of licences, under one that fits where it goes."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = {
    "requirements.lock": "tools and tests",
    "server/gpu.lock": "GPU server",
    "server/triton.lock": "Triton from pip",
    "images/client/requirements.lock": "client image",
    "images/server-cpu/requirements.lock": "CPU image",
    "images/ops/requirements.lock": "operators' image",
    "images/wheels.lock": "building",
}
FREE = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0"}
# Programs that are run here and handed on to nobody.
TOOLS_ONLY = {"GPL-3.0-only", "GPL-3.0-or-later"}
# Loaded on GPU machines, under terms of their own.
GPU_ONLY = {"LicenseRef-NVIDIA-Proprietary"}
# What metadata say that is not SPDX.
SPDX = {
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "MIT License": "MIT",
    "DFSG approved; MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GPL-3.0": "GPL-3.0-only",
    "Public Domain; Python Software Foundation License; BSD License; GNU General Public License (GPL)": (
        "CC-PDDC AND PSF-2.0 AND BSD-2-Clause AND GPL-3.0-or-later"
    ),
}


def table() -> dict[str, tuple[str, str]]:
    rows = re.findall(r"^\| `(\S+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "licences.md").read_text(), re.MULTILINE)
    return {name: (licence, where) for name, licence, where in rows}


def locked() -> dict[str, set[str]]:
    places: dict[str, set[str]] = {}
    for lock, place in LOCKS.items():
        for name in re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / lock).read_text(), re.MULTILINE):
            places.setdefault(name.lower(), set()).add(place)
    return places


def test_no_lock_is_forgotten() -> None:
    others = {".venv", "node_modules", "out"}
    found = {str(path.relative_to(ROOT)) for path in ROOT.glob("**/*.lock") if not others & set(path.parts)}
    assert found - {"uv.lock"} == set(LOCKS)


def test_the_table_is_of_what_is_locked() -> None:
    assert {name: set(where.split(", ")) for name, (_, where) in table().items()} == locked()


@pytest.mark.parametrize("name", sorted(locked()))
def test_a_licence_fits_where_the_package_goes(name: str) -> None:
    licence, _ = table()[name]
    kinds = set(re.split(r" AND | OR ", licence))

    if kinds & TOOLS_ONLY:
        assert locked()[name] == {"tools and tests"}
    elif kinds & GPU_ONLY:
        assert locked()[name] == {"GPU server"}
    else:
        assert kinds <= FREE


def test_the_examples_packages_are_free_pinned_and_without_addresses() -> None:
    lock = json.loads((ROOT / "examples" / "node" / "package-lock.json").read_text())
    packages = [package for name, package in lock["packages"].items() if name]

    assert {package["license"] for package in packages} <= FREE | {"ISC"}
    assert all("integrity" in package and "resolved" not in package for package in packages)


def is_installed(name: str) -> bool:
    """False for those of other platforms and of GPU machines."""
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize("name", sorted(filter(is_installed, locked())))
def test_a_licence_is_what_the_package_says(name: str) -> None:
    said = says(name)
    assert SPDX.get(said, said) == table()[name][0]


def says(name: str) -> str:
    metadata = distribution(name).metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [text for text in metadata.get_all("Classifier") or [] if text.startswith("License :: ")]
    words = "; ".join(text.removeprefix("License :: ").removeprefix("OSI Approved :: ") for text in classifiers)
    return words or str(metadata.get("License", ""))
