"""The pace of a live run, by a clock that stands still: each packet's wait is its time behind the first one."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import pytest
from numbered_clips import FRAMES, RATE, Recipe

from segtriton_client import segmentation
from segtriton_client.demuxer import Demuxer
from segtriton_client.job import Job


class Waits(threading.Event):
    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[Fraction] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(Fraction(timeout or 0).limit_denominator(1000))
        return False


@pytest.mark.parametrize("ending", ["mp4", "h264"])
def test_a_clip_is_read_at_its_own_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(segmentation.time, "monotonic", lambda: 100.0)
    job = Job(Recipe(ending=ending).write(tmp_path), tmp_path / "made.mp4", live=True, stopping=Waits())
    with Demuxer(job.input) as demuxer:
        assert len(list(segmentation._paced(demuxer, job))) == FRAMES

    assert job.stopping.seconds == [number / RATE for number in range(FRAMES)]
