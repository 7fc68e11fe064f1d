"""Errors of the vision package.

VisionError (ValueError)
├── UnknownNetworkError     no network of that name
├── NetworkFileError        the network's file is missing or not what it should be
│   └── NetworkCardError    its card has mistakes, or does not fit the file
├── BackendError            what should run the network is unknown or cannot run here
├── InvalidEffectError      an effect, strength or colour out of range
└── InvalidMaskError        a mask or network input of the wrong shape or type
"""

from collections.abc import Iterable


class VisionError(ValueError):
    """Anything that the vision package refuses."""


class UnknownNetworkError(VisionError):
    """No network of that name is registered."""

    def __init__(self, name: str, known_names: Iterable[str]) -> None:
        """Name the networks there are, so that the caller can correct itself."""
        self.name = name
        self.known_names = tuple(known_names)
        super().__init__(f"unknown network {name!r}; known: {', '.join(self.known_names)}")


class NetworkFileError(VisionError):
    """A network's file is missing, unreadable or has unexpected inputs or outputs."""


class NetworkCardError(NetworkFileError):
    """A network's card has mistakes.

    Attributes:
        mistakes: each one names the key and what would be right.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        """Say all of them."""
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(self.mistakes))


class BackendError(VisionError):
    """What should run the network is unknown, or cannot run here."""


class InvalidEffectError(VisionError):
    """An effect, its strength or its colour is not one we can draw."""


class InvalidMaskError(VisionError):
    """A mask, class id or network input does not have the expected shape, type or range."""
