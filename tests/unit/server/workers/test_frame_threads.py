from __future__ import annotations

from fractions import Fraction

import pytest

from segtriton_protocol import Open, OutputSpec, VideoFormat
from segtriton_server.settings import Settings
from segtriton_server.workers import frame_threads
from segtriton_server.workers.frame_threads import choose_frame_threads, most_frame_threads

VIDEO = VideoFormat("h264", 1920, 1080, Fraction(1, 25))
FILE = Open(video=VIDEO)


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_threads, "num_cores", lambda: 16)


@pytest.mark.parametrize(("others", "threads"), [(0, 16), (1, 8), (2, 5), (7, 2), (8, 1), (63, 1)])
def test_cores_are_divided_among_the_sessions_there_are(others: int, threads: int) -> None:
    assert choose_frame_threads(FILE, Settings(), others) == threads


@pytest.mark.parametrize(
    "request_", [Open(video=VIDEO, mode="live"), *(Open(VIDEO, OutputSpec(encoder=name)) for name in ("mjpeg", "mask"))]
)
@pytest.mark.parametrize("encoder_threads", [0, 8])
def test_live_sessions_and_other_encoders_hold_no_picture_back(request_: Open, encoder_threads: int) -> None:
    assert choose_frame_threads(request_, Settings(encoder_threads=encoder_threads), 0) == 1


@pytest.mark.parametrize("others", [0, 20])
def test_a_number_that_is_set_holds_whoever_else_is_there(others: int) -> None:
    assert choose_frame_threads(FILE, Settings(encoder_threads=6), others) == 6


@pytest.mark.parametrize(("window", "threads"), [(112, 16), (96, 8), (83, 1), (80, 1), (8, 1)])
def test_what_is_held_back_fits_in_the_window(window: int, threads: int) -> None:
    assert choose_frame_threads(FILE, Settings(window_packets=window), 0) == threads
    assert choose_frame_threads(FILE, Settings(window_packets=window, encoder_threads=99), 0) == threads


def test_sessions_that_open_one_after_the_other_have_no_more_threads_than_is_said() -> None:
    settings = Settings(stream_slots=64)
    assert sum(threads for others in range(64) if (threads := choose_frame_threads(FILE, settings, others)) > 1) == (
        most_frame_threads(settings)
    )
    assert most_frame_threads(Settings(stream_slots=64, encoder_threads=4)) == 256
