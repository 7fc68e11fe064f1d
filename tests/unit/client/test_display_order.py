from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from client_clips import CFR, make_clip
from field_clips import with_pts_in_decode_order

from segtriton_client.display_order import DisplayTimes, drop_false_pts, leave_pts_absent

STEP = CFR[1]


def read(path: Path) -> list[tuple[int | None, int | None]]:
    """The pts and dts of each video packet."""
    with av.open(path) as container:
        video = container.streams.video[0]
        leave_pts_absent(container, video)
        packets: Iterator[Any] = container.demux(video)
        found = drop_false_pts(((packet, True) for packet in packets), video)
        return [(packet.pts, packet.dts) for packet, _ in found if packet.size]


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_true_pts_stays(tmp_path: Path, b_frames: int) -> None:
    stamps = read(make_clip(tmp_path / "clip.mp4", b_frames=b_frames))

    assert sorted(pts for pts, _ in stamps if pts is not None) == list(CFR)
    assert None not in [dts for _, dts in stamps]


def test_no_pts_is_made_up(tmp_path: Path) -> None:
    stamps = read(make_clip(tmp_path / "clip.avi"))

    assert {pts for pts, _ in stamps} == {None}
    assert len({dts for _, dts in stamps}) == len(CFR)


def test_a_pts_in_decoding_order_is_a_dts(tmp_path: Path) -> None:
    stamps = read(with_pts_in_decode_order(tmp_path, "mp4"))

    assert stamps == [(None, number * STEP) for number in range(len(stamps))]


def test_what_cannot_be_read_at_the_beginning_keeps_nothing_from_what_could(tmp_path: Path) -> None:
    with av.open(make_clip(tmp_path / "clip.mp4")) as container:
        video = container.streams.video[0]

        def breaking_off() -> Iterator[tuple[Any, bool]]:
            for number, packet in enumerate(container.demux(video)):
                if number == 2:
                    raise av.error.InvalidDataError(1, "broken")
                yield packet, True

        found = drop_false_pts(breaking_off(), video)
        assert next(found)[0].pts == CFR[0]
        next(found)
        with pytest.raises(av.error.InvalidDataError):
            next(found)


def test_pictures_take_the_earliest_time_that_is_left() -> None:
    times = DisplayTimes()
    for dts in (0, 10, 20, 30):
        times.expect(None, dts)

    assert [times.place(None), times.place(None)] == [0, 10]
    times.forget(None, 20)
    assert times.place(None) == 30
    assert times.place(None) is None


def test_between_pictures_with_a_pts_no_decoding_time_is_given() -> None:
    times = DisplayTimes()
    for pts, dts in ((30, 0), (None, 10), (50, 20)):
        times.expect(pts, dts)

    assert [times.place(30), times.place(None), times.place(50)] == [30, None, 50]


def test_a_time_that_another_picture_took_goes_with_the_packet_that_gave_none() -> None:
    times = DisplayTimes()
    for dts in (0, 10, 20):
        times.expect(None, dts)
    assert [times.place(None), times.place(None)] == [0, 10]
    times.forget(None, 10)

    assert times.place(None) is None
