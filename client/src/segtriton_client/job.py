"""What is to be done with one input, and how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from segtriton_client.errors import StoppedError
from segtriton_client.file_kinds import is_stream
from segtriton_client.sources import Destination, Source
from segtriton_protocol import IMAGE_EFFECT, OutputSpec

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `frames_total` is the container's word, 0 where it has none."""

    frames_done: int
    frames_total: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Composed:
    """An output that the client draws from masks: an effect of the service's, or `cutout`."""

    effect: str
    output: Destination
    background: Path | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with one file.

    `resume_seconds` is how long it looks for another server when one goes away; `strict` ends the run at the first
    damaged frame. A live run drops packets that have waited `max_latency` seconds. At most `duration` seconds are
    read, 0 for all; a source that ends is looked for again for `reconnect_seconds`. Where there are `composed` outputs,
    the service sends bare masks and `output` is not written. `background` is for the effect `image` of the service, and
    `more_outputs` are for its `more_effects`.
    Once `stopping` is set nothing more is read and what is on its way is finished; then StoppedError is raised for a
    file, while a source without an end has ended.
    """

    input: Source
    output: Destination
    spec: OutputSpec = field(default_factory=OutputSpec)
    network: str = "selfie"
    live: bool = False
    batch_size: int = 4
    on_progress: Callable[[Progress], None] | None = None
    resume_seconds: float = 60.0
    strict: bool = False
    max_latency: float = 1.0
    duration: float = 0.0
    reconnect_seconds: float = 0.0
    composed: tuple[Composed, ...] = ()
    background: Path | None = None
    more_outputs: tuple[Destination, ...] = ()
    stopping: threading.Event = field(default_factory=threading.Event, compare=False)

    @property
    def outputs(self) -> list[Destination]:
        """Where results go."""
        return [composed.output for composed in self.composed] or [self.output, *self.more_outputs]

    def drawn_here(self) -> Job:
        """Return the same job, its effects drawn by the client."""
        composed = tuple(
            Composed(effect, output, self.background if effect == IMAGE_EFFECT else None)
            for effect, output in zip(self.spec.effects, self.outputs, strict=True)
        )
        return replace(self, composed=composed, background=None, more_outputs=())

    def report_progress(self, done: int, total: int, started: float) -> None:
        """Tell the caller how far it is."""
        if self.on_progress is not None:
            self.on_progress(Progress(done, total, time.monotonic() - started))

    def until_stopped(self, reading: Iterator[_Read]) -> Iterator[_Read]:
        """Give what is read of the input until it is to stop."""
        while not self.stopping.is_set() and (found := next(reading, None)) is not None:
            yield found

    def raise_if_cut(self, reading: Iterator[_Read], done: int) -> None:
        """Raise StoppedError for a file that has not been read to the end."""
        has_end = isinstance(self.input, Path) and not is_stream(self.input)
        if self.stopping.is_set() and has_end and next(reading, None) is not None:
            raise StoppedError(f"Stopped after {done} frames of {self.input}.")
