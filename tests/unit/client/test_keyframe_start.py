from types import SimpleNamespace
from typing import Any

import pytest

from segtriton_client import InputError
from segtriton_client.keyframe_start import KeyframeStart


def packet(*, key: bool = False, size: int = 9) -> Any:
    return SimpleNamespace(is_keyframe=key, size=size)


def test_video_begins_with_a_keyframe_and_sound_where_it_begins() -> None:
    sound, first, early = packet(), packet(key=True), packet()
    start = KeyframeStart("camera")
    given = [(early, True), (sound, False), (packet(), True), (first, True), (packet(), True)]

    assert list(start.skip(iter(given))) == [(sound, False), *given[3:]]
    assert start.notes == ["The source begins between keyframes: 2 packets before the first were skipped."]


def test_what_begins_with_a_keyframe_is_told_nothing() -> None:
    start = KeyframeStart("camera")
    given = [(packet(key=True), True), (packet(size=0), True)]

    assert list(start.skip(iter(given))) == given
    assert start.notes == []


def test_a_video_without_a_keyframe_is_refused_at_its_end() -> None:
    with pytest.raises(InputError, match="no keyframe in 2 packets"):
        list(KeyframeStart("clip.mp4").skip(iter([(packet(), True), (packet(), True)])))


def test_a_camera_without_a_keyframe_is_not_waited_for_without_an_end() -> None:
    packets = ((packet(), True) for _ in iter(int, 1))

    with pytest.raises(InputError, match="no keyframe in 3000 packets"):
        list(KeyframeStart("rtsp://camera/1").skip(packets))
