from fractions import Fraction
from pathlib import Path

import av
import pytest
from numbered_clips import RATE, Recipe

from segtriton_client.frame_rate import frame_rate_notes, frame_rate_of

# What x264 writes for a variable frame rate: the clock's, not the pictures'.
VARIABLE = {"time_base": Fraction(1, 12800)}
CONSTANT = {"time_base": 1 / RATE, "stamps": tuple(range(12))}


@pytest.mark.parametrize(
    ("ending", "clock", "is_named"),
    [("h264", CONSTANT, False), ("h264", VARIABLE, True), ("mp4", VARIABLE, False), ("mkv", CONSTANT, False)],
)
def test_a_rate_that_nothing_states_is_named(tmp_path: Path, ending: str, clock: dict, is_named: bool) -> None:
    with av.open(Recipe(ending=ending, **clock).write(tmp_path)) as container:
        (video,) = container.streams.video
        assert frame_rate_of(video) == RATE
        assert bool(frame_rate_notes(video)) == is_named


def test_the_rate_of_the_clock_is_no_frame_rate(tmp_path: Path) -> None:
    path = tmp_path / "irregular.ivf"
    with av.open(path, "w") as target:
        video = target.add_stream("libvpx", rate=30)
        video.codec_context.time_base = Fraction(1, 1000)
        for number in range(60):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = 33 * number + number % 7, Fraction(1, 1000)
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
    with av.open(path) as container:
        assert container.streams.video[0].guessed_rate == 1000
        assert frame_rate_of(container.streams.video[0]) is None
