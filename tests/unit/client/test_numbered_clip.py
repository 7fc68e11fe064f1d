import itertools
from dataclasses import replace

import numpy as np
import pytest

from segtriton_client.frame_check import WrongPictureError, check_frames, read_numbers
from segtriton_client.numbered_clip import MOST_FRAMES, Clip, draw_number, make_clip, read_number


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_clip(8)


def check(clip: Clip, received: list) -> None:
    check_frames(clip.packets, received, "h264", b"")


@pytest.mark.parametrize("number", range(MOST_FRAMES))
def test_each_number_can_be_read_from_its_picture(number: int) -> None:
    assert read_number(draw_number(number)) == number


def test_a_faint_overlay_over_any_part_does_not_change_a_number() -> None:
    picture = draw_number(0b10110010).astype(float)
    overlaid = 0.75 * picture + 0.25 * 120
    for mask in np.random.default_rng(0).random((20, 8, 16)) > 0.5:
        covered = np.kron(mask, np.ones((16, 16), bool))
        assert read_number(np.where(covered, overlaid, picture).astype(np.uint8)) == 0b10110010


def test_the_clip_has_uneven_times_one_keyframe_and_all_numbers(clip: Clip) -> None:
    stamps = [packet.pts for packet in clip.packets]
    assert len({after - before for before, after in itertools.pairwise(stamps)}) > 1
    assert [packet.is_keyframe for packet in clip.packets] == [True] + [False] * (len(clip.packets) - 1)
    assert read_numbers(clip.packets, "h264", b"") == list(range(len(clip.packets)))


def test_what_comes_back_as_it_was_is_right(clip: Clip) -> None:
    check(clip, list(clip.packets))


def test_pictures_in_each_others_places_are_seen(clip: Clip) -> None:
    packets = list(clip.packets)
    packets[3] = replace(packets[4], seq=packets[3].seq, pts=packets[3].pts)
    with pytest.raises(WrongPictureError, match="shows the picture of frame"):
        check(clip, packets)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda packets: packets[:-1], "8 frames 7 came back"),
        (lambda packets: [packets[1], packets[0], *packets[2:]], "in another order"),
        (lambda packets: [replace(packets[0], pts=7), *packets[1:]], "Frame 0 .* another timestamp"),
        (lambda packets: [*packets[:-1], replace(packets[-1], duration=1)], "Frame 7 .* or duration"),
        (lambda packets: [replace(packets[0], payload=b"no"), *packets[1:]], "decode|pictures"),
    ],
)
def test_what_is_wrong_with_frames_is_said(clip: Clip, change: object, words: str) -> None:
    with pytest.raises(WrongPictureError, match=words):
        check(clip, change(list(clip.packets)))
