"""Batches of raw frames: what is wrong with one request is answered to it alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.services import frame_segmentation
from segtriton_server.services.frame_segmentation import FrameSegmentation
from segtriton_server.settings import Settings
from segtriton_server.vision.frame_engine import FrameJob


class Engine:
    """Gives frames back, and fails at a batch with a frame that is one pixel high."""

    def __init__(self) -> None:
        self.segmenter = self
        self.classes = ("background", "person")
        self.default_class = "person"

    def compose(self, jobs: Sequence[FrameJob]) -> list[Any]:
        if any(job.frames.shape[1] == 1 for job in jobs):
            raise ValueError("/usr/lib/resize.py")
        return [job.frames for job in jobs]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FrameSegmentation:
    monkeypatch.setattr(frame_segmentation, "create_frame_engine", lambda settings: Engine())
    monkeypatch.setattr(frame_segmentation, "find_classes", lambda *arguments: (("person",), (1,)))
    return FrameSegmentation(Settings())


def frames(height: int, width: int = 4) -> Any:
    return np.zeros((1, height, width, 3), np.uint8)


def test_frames_that_fail_cost_no_others(service: FrameSegmentation) -> None:
    first, failed, last = service.segment([(frames(4), {}), (frames(1), {}), (frames(6), {})])

    assert first.shape == (1, 4, 4, 3)
    assert last.shape == (1, 6, 4, 3)
    assert isinstance(failed, SegtritonError)
    assert failed.code is ErrorCode.INTERNAL
    assert "/usr" not in str(failed)


@pytest.mark.parametrize(("height", "width"), [(0, 0), (0, 10), (10, 0)])
def test_frames_without_pixels_are_refused(service: FrameSegmentation, height: int, width: int) -> None:
    (answer,) = service.segment([(frames(height, width), {})])

    assert isinstance(answer, SegtritonError)
    assert answer.code is ErrorCode.INVALID_MESSAGE


@pytest.mark.parametrize("value", ["yes", 1, None])
@pytest.mark.parametrize("name", ["inverted", "despill"])
def test_a_boolean_is_true_or_false(service: FrameSegmentation, name: str, value: object) -> None:
    (answer,) = service.segment([(frames(4), {name: value})])

    assert isinstance(answer, SegtritonError)
    assert answer.code is ErrorCode.INVALID_MESSAGE
    assert name in answer.message


def test_frames_have_no_background(service: FrameSegmentation) -> None:
    (answer,) = service.segment([(frames(4), {"effect": "image"})])

    assert isinstance(answer, SegtritonError)
    assert answer.code is ErrorCode.INVALID_MESSAGE
    assert "no background" in answer.message
