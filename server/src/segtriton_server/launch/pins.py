"""Prints the SHA-256 of each network's file that this version of the server is made for, as `sha256sum` does.

python -m segtriton_server.launch.pins
"""

import sys

from segtriton_server.launch.assets import ASSETS
from segtriton_server.launch.weights import WEIGHTS


def pinned_sums() -> dict[str, str]:
    """Return the sums by the files' names."""
    networks = {asset.name: asset.sha256 for asset in ASSETS if asset.kind == "networks"}
    return networks | {weights.file_name: weights.sha256 for weights in WEIGHTS}


if __name__ == "__main__":
    sys.stdout.writelines(f"{digest}  {name}\n" for name, digest in pinned_sums().items())
