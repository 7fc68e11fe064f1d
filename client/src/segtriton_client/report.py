"""What a run did, with the stable keys of its JSON form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

_NOT_MEANT_TO_BE_SHOWN = "hidden"


@dataclass(frozen=True, slots=True)
class Report:
    """Counts, speed and choices of one run; `to_json` keeps these names.

    `notes` says what was changed about the pictures or left out; `damaged_frames` lists each frame that was mended or
    lost as [seq, reason]. `pixel_format` is FFmpeg's name of what came back. `is_truncated` tells of an input that
    ended before its header says; one of `notes` says what is missing. `drawn_here` names the effects that the client
    drew, and `drawing_share` how much of the run's time that took; near 1, this machine was the limit.
    `frames_without_class` counts frames in whose mask no pixel was at or above one half; None where the server does not
    count them, and after a resume.
    """

    frames_in: int
    frames_out: int
    frames_dropped: dict[str, int]
    seconds: float
    frames_per_second: float
    latency_ms: dict[str, float]
    session_id: str
    resumes: int
    network: str
    decoder: str
    encoder: str
    output_codec: str
    pixel_format: str
    server: str
    stages: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    damaged_frames: list[list[Any]] = field(default_factory=list)
    is_truncated: bool = False
    drawn_here: tuple[str, ...] = ()
    drawing_share: float = 0.0
    class_name: str = ""
    frames_without_class: int | None = None

    @property
    def lost_frames(self) -> int:
        """Frames that were to be shown and gave no output."""
        return sum(count for reason, count in self.frames_dropped.items() if reason != _NOT_MEANT_TO_BE_SHOWN)

    @property
    def is_complete(self) -> bool:
        """Whether every frame that the input declares gave an output, or was not to be shown."""
        return not self.lost_frames and not self.is_truncated

    @property
    def class_note(self) -> str:
        """A sentence on frames in which the network found nothing of the class; empty if there are none."""
        if not self.frames_without_class:
            return ""
        counts = f"{self.frames_without_class} of {self.frames_out} frames"
        return f"Nothing of class {self.class_name} was found in {counts}."

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return asdict(self)


def summarize_latency(seconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of latencies, in milliseconds."""
    if not len(seconds):
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    values = np.percentile(np.asarray(seconds, np.float64), (50, 95, 99)) * 1e3
    return {name: round(float(value), 3) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}
