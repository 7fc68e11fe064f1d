"""What can go wrong on the client's side of the wire, each with one sentence of advice.

Failures that the server reports arrive as `segtriton_protocol.SegtritonError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class ClientError(Exception):
    """A failure that the client found itself.

    Attributes:
        code: a stable name for its kind, in reports and metrics.
        message: one sentence on what is wrong.
        advice: one sentence on what to do.
    """

    code: ClassVar[str] = "CLIENT"
    default_advice: ClassVar[str] = ""

    def __init__(self, message: str, advice: str = "") -> None:
        self.message = message
        self.advice = advice or self.default_advice
        super().__init__(f"{message} {self.advice}".strip())


class ServiceUnavailableError(ClientError, ConnectionError):
    """Nothing answers at the endpoint."""

    code = "UNAVAILABLE"
    default_advice = "Check that the server runs and that --endpoint names its gRPC port."


class ServiceLostError(ClientError, ConnectionError):
    """The service went away in the middle of a session."""

    code = "LOST"
    default_advice = "Run the command again; see the server's log if it happens twice."


class NoProgressError(ClientError, TimeoutError):
    """The service owes an answer and gives none."""

    code = "NO_PROGRESS"
    default_advice = "Look at the server's load and log, then run the command again."


class ServiceRefusedError(ClientError):
    """The service turned the request down before a session existed."""

    code = "REFUSED"
    default_advice = "List the networks it serves with `segclient models`."


class IntegrityError(ClientError):
    """The answers do not add up: a frame is missing, doubled, or differs from its digest."""

    code = "INTEGRITY"
    default_advice = "Run the command again and report it with the server's log."


class InputError(ClientError):
    """The input cannot be read as a video or an image."""

    code = "INPUT"
    default_advice = "Check the file with a player."


class OutputError(ClientError):
    """The output cannot be written."""

    code = "OUTPUT"
    default_advice = "Choose another name, in a folder that can be written."


class StoppedError(ClientError):
    """The caller stopped the run before its input was read to the end.

    Attributes:
        kept: the outputs that hold what came back until then.
    """

    code = "STOPPED"
    default_advice = "The same command with --continue does what is left."

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.kept: list[Path] = []

    def add_kept(self, path: Path) -> None:
        """Say where an output is kept, under its temporary name."""
        self.kept.append(path)
        self.advice = f"What came back is in {', '.join(map(str, self.kept))}. {self.default_advice}"
        self.args = (f"{self.message} {self.advice}",)


MENDED = "mended"
"""What became of a frame that the decoder took damaged and mended as well as it could."""


def damage_error(seq: int, reason: str) -> InputError:
    """Return what a strict run ends with."""
    return InputError(f"Frame {seq} of the input is damaged ({reason}).", "Leave --strict out to keep the others.")
