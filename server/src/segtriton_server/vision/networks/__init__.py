"""The networks there are, by name. A new network is one module here and one line in `_FACTORIES`."""

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


# Modules are imported by the factories, so that a process loads only the run time of its own network.
_FACTORIES: dict[str, Callable[[Path, int, int], Segmenter]] = {
    "selfie": _selfie,
    "selfie_square": _selfie_square,
}


def known_networks() -> tuple[str, ...]:
    """Names that `create_segmenter` takes."""
    return tuple(_FACTORIES)


def create_segmenter(name: str, networks_folder: Path, num_threads: int, max_batch_size: int) -> Segmenter:
    """Load a network.

    Args:
        name: one of `known_networks()`.
        networks_folder: where the network files lie.
        num_threads: threads that one call of `segment` may use.
        max_batch_size: the most inputs that one call of `segment` must take.

    Raises:
        UnknownNetworkError: no network of that name.
        NetworkFileError: its file is missing or not the expected network.
    """
    factory = _FACTORIES.get(name)
    if factory is None:
        raise UnknownNetworkError(name, known_networks())
    return factory(networks_folder, num_threads, max_batch_size)
