"""Fetches the weights of the GPU's networks, which are too large for a package.

    python -m segtriton_server.launch.weights --into /opt/networks fcn_resnet101

They are torchvision's COCO_WITH_VOC_LABELS_V1, fetched from where torchvision has them and checked by SHA-256.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segtriton_server.launch.errors import AssetError

_TIMEOUT_SECONDS = 60
_BLOCK_BYTES = 1 << 20
DEFAULT_SOURCE = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class Weights:
    """One network's file."""

    network: str
    file_name: str
    sha256: str


WEIGHTS = (
    Weights(
        "fcn_resnet101",
        "fcn_resnet101_coco-7ecb50ca.pth",
        "7ecb50ca17844860a70d5ed0c748d997cf8adb62932abaa0233430c68594d749",
    ),
    Weights(
        "deeplabv3_resnet50",
        "deeplabv3_resnet50_coco-cd0a2569.pth",
        "cd0a25694c4a0f7106b38f4938bf90a874f2f241cc410b8f63c7024399538f06",
    ),
    Weights(
        "lraspp_mobilenet_v3_large",
        "lraspp_mobilenet_v3_large-d234d4ea.pth",
        "d234d4eae9d55d5f76de18b77cf0dc62c66fe5c5482758209d00f950c92bb280",
    ),
)


def fetch_weights(weights: Weights, into: Path, source: str = DEFAULT_SOURCE) -> Path:
    """Put a network's file into a folder, unless it is there.

    Args:
        weights: which.
        into: the folder.
        source: the address of a folder that has it, for sites with a mirror.

    Raises:
        AssetError: it cannot be had, or is not the file that was pinned.
    """
    path = into / weights.file_name
    if path.is_file() and _sha256(path) == weights.sha256:
        return path
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=into, delete=False) as partial:
        partial_path = Path(partial.name)
        try:
            with urllib.request.urlopen(f"{source}/{weights.file_name}", timeout=_TIMEOUT_SECONDS) as response:
                shutil.copyfileobj(response, partial, _BLOCK_BYTES)
            partial.flush()
            if _sha256(partial_path) != weights.sha256:
                raise AssetError(f"{weights.file_name} of {source} is not the file that was pinned.")
            partial_path.chmod(0o644)
            partial_path.replace(path)
        except (urllib.error.URLError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            raise AssetError(
                f"{weights.file_name} cannot be fetched from {source} ({reason}); name a mirror with --source, "
                f"or put the file into {into} by hand."
            ) from None
        finally:
            partial_path.unlink(missing_ok=True)
    return path


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: fetch, and say where the files are."""
    by_network = {weights.network: weights for weights in WEIGHTS}
    parser = argparse.ArgumentParser(prog="segtriton_server.launch.weights", description="Fetch networks' weights.")
    parser.add_argument("networks", nargs="+", choices=sorted(by_network), metavar="NETWORK")
    parser.add_argument("--into", type=Path, required=True, help="folder of network files")
    parser.add_argument("--source", default=DEFAULT_SOURCE, help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        for network in options.networks:
            sys.stdout.write(f"{fetch_weights(by_network[network], options.into, options.source)}\n")
    except (AssetError, OSError) as error:
        sys.stderr.write(f"weights: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
