from fractions import Fraction

import pytest

from segtriton_client.carried import Carried
from segtriton_client.container_times import movie_timescale, start_shift, time_options


@pytest.mark.parametrize(
    ("video_rate", "others", "scale"),
    [
        (1000, [44100], 441_000),
        (90000, [48000, 90000], 720_000),
        (30000, [44100, 48000], 35_280_000),
        (12800, [], 12800),
    ],
)
def test_an_mp4s_edit_lists_hold_every_tracks_clock(video_rate: int, others: list[int], scale: int) -> None:
    assert movie_timescale(video_rate, others) == scale
    assert all(scale % rate == 0 for rate in (video_rate, *others))


def test_a_clock_that_does_not_fit_is_rounded_to_less_than_half_its_tick() -> None:
    scale = movie_timescale(1_200_000, [44100, 47999])

    assert scale < 2**31
    assert scale % 1_200_000 == scale % 44100 == 0
    assert scale >= 2 * 47999


@pytest.mark.parametrize(
    ("container_format", "start", "shift"),
    [
        ("mp4", Fraction(-4, 3), Fraction(4, 3)),
        ("matroska", Fraction(-4, 3), Fraction(4, 3)),
        ("flv", Fraction(-4, 3), Fraction(4, 3)),
        ("mpegts", Fraction(-4, 3), 0),
        ("mp4", Fraction(7), 0),
    ],
)
def test_only_mpeg_ts_begins_below_0(container_format: str, start: Fraction, shift: Fraction) -> None:
    assert start_shift(container_format, Carried(start=start)) == shift


def test_a_shift_is_rounded_up() -> None:
    assert time_options("mp4", Fraction(1, 90000), Carried(start=Fraction(-4, 3)))["output_ts_offset"] == "1333334us"
    assert time_options("mp4", Fraction(1, 90000), Carried()) == {"movie_timescale": "90000"}
