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
