"""What the pipeline asks of a network."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.frames import Picture


class Segmenter(Protocol):
    """A network on one device. `segment` is called from one thread; `preprocess` from any."""

    @property
    def name(self) -> str:
        """Name of the network, as a client asks for it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the position is the class id."""

    @property
    def default_class(self) -> str:
        """The class taken when a client names none."""

    @property
    def input_hw(self) -> tuple[int, int]:
        """Height and width of the network's input and of its masks."""

    @property
    def max_batch_size(self) -> int:
        """The most inputs that `segment` takes at once."""

    def preprocess(self, picture: Picture) -> NDArray[np.float32]:
        """The network's input for a picture: [h, w, 3]."""

    def segment(self, inputs: Sequence[NDArray[np.float32]], class_ids: Sequence[int]) -> list[NDArray[np.uint8]]:
        """One mask [h, w] for each input: 0..255, the probability of its class."""

    def close(self) -> None:
        """Release the network's memory. Calling it again does nothing."""


def find_class_id(segmenter: Segmenter, class_name: str) -> int:
    """Return the id of a class, of the network's default for ""; raises UNKNOWN_CLASS with the list."""
    name = class_name or segmenter.default_class
    if name not in segmenter.classes:
        raise SegtritonError(
            ErrorCode.UNKNOWN_CLASS,
            f"The network {segmenter.name} has no class {name!r:.40}; it has {', '.join(segmenter.classes)}.",
        )
    return segmenter.classes.index(name)
