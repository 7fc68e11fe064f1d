"""The server's histograms of stages, read from its metrics port."""

import re
import urllib.error
import urllib.request
from collections import defaultdict
from dataclasses import dataclass

_LINE = re.compile(r"^segtriton_stage_duration_seconds_(sum|count)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
# Triton's own labels, which are the same for all.
_COMMON_LABELS = {"model", "version", "gpu_uuid"}


@dataclass(frozen=True)
class StageTimes:
    """How often a stage ran and how long in all."""

    count: float
    seconds: float

    def since(self, before: "StageTimes | None") -> "StageTimes":
        """What came on top."""
        return StageTimes(self.count - before.count, self.seconds - before.seconds) if before else self

    @property
    def mean_ms(self) -> float:
        """Mean time of one run of the stage."""
        return self.seconds / self.count * 1e3 if self.count else 0.0


def read_stage_times(url: str) -> dict[str, StageTimes]:
    """Return the stages by name; none where the page cannot be had, as a load is worth measuring without."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return parse_stage_times(page.read().decode())
    except (OSError, urllib.error.URLError):
        return {}


def parse_stage_times(page: str) -> dict[str, StageTimes]:
    """Return the stages of a page; those of several models count together."""
    values: dict[str, dict[str, float]] = defaultdict(lambda: {"count": 0.0, "sum": 0.0})
    for line in page.splitlines():
        if match := _LINE.match(line):
            kind, labels, value = match.groups()
            name = " ".join(text for label, text in _LABEL.findall(labels) if label not in _COMMON_LABELS)
            values[name][kind] += float(value)
    return {name: StageTimes(found["count"], found["sum"]) for name, found in values.items()}
