"""How the tests of this folder ask for a clip to be segmented."""

from pathlib import Path
from typing import Any, Protocol

from segtriton_client import Report
from segtriton_protocol import OutputSpec

# A blur of no width: what comes back is what went in, through every stage but the drawing.
UNCHANGED = OutputSpec(strength=0.0, preset="ultrafast", crf=8, quality=100)


class Segment(Protocol):
    """Sends a clip through the service and returns the report."""

    def __call__(self, given: Path | str, made: Path, output: OutputSpec = UNCHANGED, **options: Any) -> Report: ...
