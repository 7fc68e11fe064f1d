"""The networks there are, by name: those of this package, and the folders with a card.

A new one of this package is one module here and one line in `_FACTORIES`.
"""

from collections.abc import Callable
from pathlib import Path

from segtriton_server.vision.errors import UnknownNetworkError
from segtriton_server.vision.segmenter import Segmenter


def _selfie(folder: Path, num_threads: int, max_batch_size: int) -> Segmenter:
    from segtriton_server.vision.networks.selfie import LANDSCAPE, SelfieSegmenter

    return SelfieSegmenter(LANDSCAPE, folder, num_threads, max_batch_size)


def _selfie_square(folder: Path, num_threads: int, max_batch_size: int) -> Segmenter:
    from segtriton_server.vision.networks.selfie import SQUARE, SelfieSegmenter

    return SelfieSegmenter(SQUARE, folder, num_threads, max_batch_size)


CARD_NAME = "network.yaml"

# Modules are imported where they are needed, so that a process loads only the run time of its own network.
_FACTORIES: dict[str, Callable[[Path, int, int], Segmenter]] = {
    "selfie": _selfie,
    "selfie_square": _selfie_square,
}


def known_networks(networks_folder: Path) -> tuple[str, ...]:
    """Names that `create_segmenter` takes."""
    return (*_FACTORIES, *sorted(path.parent.name for path in networks_folder.glob(f"*/{CARD_NAME}")))


def is_own_network(name: str) -> bool:
    """Whether a network is one of this package, which needs no card."""
    return name in _FACTORIES


def create_segmenter(name: str, networks_folder: Path, num_threads: int, max_batch_size: int) -> Segmenter:
    """Load a network.

    Args:
        name: one of `known_networks()`.
        networks_folder: where the network files lie, and the folders of those with a card.
        num_threads: threads that one call of `segment` may use.
        max_batch_size: the most inputs that one call of `segment` must take.

    Raises:
        UnknownNetworkError: no network of that name.
        NetworkFileError: its file is missing or not the expected network, or its card has mistakes.
    """
    if (factory := _FACTORIES.get(name)) is not None:
        return factory(networks_folder, num_threads, max_batch_size)
    folder = networks_folder / name
    if not (folder / CARD_NAME).is_file():
        raise UnknownNetworkError(name, known_networks(networks_folder))
    from segtriton_server.vision.networks.card_reader import read_card
    from segtriton_server.vision.networks.onnx_network import OnnxSegmenter

    return OnnxSegmenter(read_card(folder), num_threads, max_batch_size)
