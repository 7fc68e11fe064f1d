"""What the pipeline asks of a network."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from segtriton_protocol import ErrorCode, SegtritonError

ClassIds = frozenset[int]


class Segmenter(Protocol):
    """A network on one device. `segment` is called from one thread; `preprocess` from any.

    Inputs and masks are what the accelerator's parts pass between them. On the CPU an input is one picture's,
    float32 [h, w, 3], and its mask uint8 [h, w]; on a GPU an input is a group's `DevicePictures` and the masks
    of the group are one `DeviceMasks`.
    """

    @property
    def name(self) -> str:
        """Name of the network, as a client asks for it."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user must know about the masks, each one sentence; empty as a rule."""

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
        """The most pictures that `segment` takes at once."""

    def preprocess(self, pictures: Any) -> Any:
        """The network's input for a group of pictures."""

    def segment(self, inputs: Sequence[Any], classes: Sequence[ClassIds]) -> list[Any]:
        """The masks of each input, 0..255: the probability that a pixel is of one of its classes."""

    def close(self) -> None:
        """Release the network's memory. Calling it again does nothing."""


def find_classes(segmenter: Segmenter, class_name: str) -> tuple[str, ...]:
    """Return the classes of "person,dog", the network's default for "".

    Raises:
        SegtritonError: UNKNOWN_CLASS with the list, for one that the network does not have.
    """
    names = tuple(name.strip() for name in (class_name or segmenter.default_class).split(","))
    for name in names:
        if name not in segmenter.classes:
            raise SegtritonError(
                ErrorCode.UNKNOWN_CLASS,
                f"The network {segmenter.name} has no class {name!r:.40}; it has {', '.join(segmenter.classes)}.",
            )
    return names


def class_ids(segmenter: Segmenter, names: Collection[str], *, inverted: bool = False) -> ClassIds:
    """Return the ids of classes, or of all others: a pixel's probabilities add up to 1."""
    return frozenset(number for number, name in enumerate(segmenter.classes) if (name in names) is not inverted)
