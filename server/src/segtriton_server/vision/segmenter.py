"""What the pipeline asks of a network."""

from collections.abc import Sequence
from typing import Any, Protocol

from segtriton_protocol import UPRIGHT, ErrorCode, Orientation, OutputSpec, SegtritonError

ClassIds = frozenset[int]


class Segmenter(Protocol):
    """A network on one device. `segment` is called from one thread; `preprocess` from any.

    Inputs and masks are what the accelerator's parts pass between them. On the CPU an input is one picture's,
    RGB uint8 [h, w, 3], and its mask uint8 [h, w]; on a GPU an input is a group's `DevicePictures` and the masks
    of the group are one `DeviceMasks`.
    """

    @property
    def name(self) -> str:
        """Name of the network, as a client asks for it."""

    @property
    def licence(self) -> str:
        """Licence of the network's weights."""

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
        """Height and width of the network's input, and of its masks of upright pictures."""

    @property
    def max_batch_size(self) -> int:
        """The most pictures that `segment` takes at once."""

    @property
    def is_better_mirrored(self) -> bool:
        """Whether it runs for mirror images, too, where a client does not say."""

    def start(self) -> Any:
        """What the network keeps from frame to frame, for a new session; None if it keeps nothing."""

    def preprocess(self, pictures: Any, orientation: Orientation = UPRIGHT) -> Any:
        """The network's input for a group of pictures: upright, however they are stored."""

    def segment(
        self,
        inputs: Sequence[Any],
        classes: Sequence[ClassIds],
        orientations: Sequence[Orientation] = (),
        states: Sequence[Any] = (),
    ) -> list[Any]:
        """The masks of each input, 0..255: the probability that a pixel is of one of its classes.

        A mask lies as its pictures are stored; its height and width are `Orientation.stored_hw` of `input_hw`. Without
        orientations all are upright. `states` has what `start` gave to the session of each input; inputs of one session
        are seen in their order. Without states each input is the first of a session.
        """

    def close(self) -> None:
        """Release the network's memory. Calling it again does nothing."""


def find_classes(segmenter: Segmenter, output: OutputSpec, default: str) -> tuple[tuple[str, ...], ClassIds]:
    """Return the classes that a client asks for, as in "person,dog", and the ids of them or, inverted, of all others.

    A client that names none gets `default`, and where that is empty the network's own.

    Raises:
        SegtritonError: UNKNOWN_CLASS with the list, for one that the network does not have.
    """
    asked = output.class_name or default or segmenter.default_class
    names = tuple(name.strip() for name in asked.split(","))
    for name in names:
        if name not in segmenter.classes:
            raise SegtritonError(
                ErrorCode.UNKNOWN_CLASS,
                f"The network {segmenter.name} has no class {name!r:.40}; it has {', '.join(segmenter.classes)}.",
            )
    # The others make the inverse mask: a pixel's probabilities add up to 1.
    inverted = output.matte.inverted
    return names, frozenset(at for at, name in enumerate(segmenter.classes) if (name in names) is not inverted)
