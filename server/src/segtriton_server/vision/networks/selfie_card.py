"""The selfie networks' cards, for their files as ONNX (`selfie_onnx`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from segtriton_server.vision.errors import NetworkFileError
from segtriton_server.vision.networks.card import InputSpec, NetworkCard, OutputSpec
from segtriton_server.vision.networks.onnx_graph import read_network_file

# By the network's name: its file, and its input's height and width.
_FILES = {
    "selfie": ("selfie_segmentation_landscape.onnx", (144, 256)),
    "selfie_square": ("selfie_segmentation.onnx", (256, 256)),
}
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


def selfie_card(name: str, networks_folder: Path) -> NetworkCard | None:
    """Return a selfie network's card; None for other names.

    Raises:
        NetworkFileError: its ONNX file cannot be read.
    """
    if name not in _FILES:
        return None
    file_name, size_hw = _FILES[name]
    file = networks_folder / file_name
    try:
        # Set-up makes the file of one that is pinned; what the maker's release of ONNX writes may differ in its bytes.
        sha256 = hashlib.sha256(read_network_file(file)).hexdigest()
    except NetworkFileError as error:
        raise NetworkFileError(
            f"{error}; make it: python -m segtriton_server.vision.networks.selfie_onnx --networks FOLDER"
        ) from error
    return NetworkCard(
        name=name,
        file=file,
        sha256=sha256,
        licence="Apache-2.0",
        source="Google, MediaPipe Selfie Segmentation, 2021",
        input=InputSpec("picture", "NCHW", size_hw, "rgb", 1, (0, 0, 0), (1, 1, 1), "stretch"),
        output=OutputSpec("alpha", "NCHW", "alpha"),
        labels=("background", "person"),
        default_class="person",
        background_class="background",
        states=(),
        batch_sizes=_BATCH_SIZES,
    )
