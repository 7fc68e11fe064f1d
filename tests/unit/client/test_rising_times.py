from fractions import Fraction

import pytest

from segtriton_client.rising_times import RisingTimes

BASE = Fraction(1, 1000)


@pytest.mark.parametrize(
    ("rate", "given", "placed"),
    [
        (Fraction(25), [(0, 40), (45, 10), (60, 33)], [(0, 40), (45, 10), (60, 33)]),
        (Fraction(25), [(7, 0), (None, 0), (97, 0), (None, 0)], [(7, 40), (47, 40), (97, 50), (147, 50)]),
        (Fraction(25), [(None, 0), (None, 5)], [(0, 40), (40, 5)]),
        (Fraction(25), [(100, 1), (100, 1), (50, 1), (None, 0)], [(100, 1), (101, 1), (102, 1), (103, 1)]),
        (None, [(0, 0), (None, 0)], [(0, 1), (1, 1)]),
        (Fraction(5000), [(0, 0), (None, 0)], [(0, 1), (1, 1)]),
    ],
    ids=["good ones stay", "missing ones", "none at the start", "no step back", "no rate", "a rate beyond the clock"],
)
def test_each_frame_is_later_than_the_last_and_lasts(
    rate: Fraction | None, given: list[tuple[int | None, int]], placed: list[tuple[int, int]]
) -> None:
    times = RisingTimes(BASE, rate)
    assert [times.place(*one) for one in given] == placed
    num_moved = sum(pts is not None and pts != became for (pts, _), (became, _) in zip(given, placed, strict=True))
    assert (f"{num_moved} frames were no later" in " ".join(times.notes)) == (num_moved > 0)
