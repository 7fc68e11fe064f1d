"""Timestamps of a source whose clock jumps, in ticks of 1/1000 s: pictures last 40 of them, packets of sound 20."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import av
import av.error
import pytest

from segtriton_client.timeline import Timeline

PICTURE, SOUND = 40, 20
HOUR = 3600_000


class Tracks:
    """Makes packets of a video and of a sound."""

    def __init__(self) -> None:
        self._container = av.open(BytesIO(), "w", "matroska")
        self._video = self._container.add_mux_stream("h264", rate=25, width=64, height=48)
        self._audio = self._container.add_mux_stream("aac", rate=48000)

    def picture(self, dts: int | None, pts: int | None = None, *, key: bool = True) -> Any:
        packet = self._packet(self._video, dts, PICTURE)
        packet.pts = dts if pts is None else pts
        packet.is_keyframe = key
        return packet

    def sound(self, dts: int) -> Any:
        return self._packet(self._audio, dts, SOUND)

    def both(self, begin: int, end: int, *, sound_end: int | None = None) -> list[Any]:
        """Pictures and sound as a container has them beside each other."""
        pictures = [self.picture(at) for at in range(begin, end, PICTURE)]
        sounds = [self.sound(at) for at in range(begin, sound_end or end, SOUND)]
        return sorted([*pictures, *sounds], key=lambda packet: packet.dts)

    def _packet(self, stream: Any, dts: int | None, duration: int) -> Any:
        packet: Any = av.Packet(b"content")
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = dts
        packet.duration = duration
        return packet


@pytest.fixture
def tracks() -> Tracks:
    return Tracks()


def place(timeline: Timeline, packets: Iterable[Any]) -> tuple[list[int], list[int]]:
    """The dts of the pictures and of the sound, in the order in which they come."""
    found: dict[str, list[int]] = {"video": [], "audio": []}
    for packet in timeline.place(packets):
        found[packet.stream.type].append(packet.dts)
    return found["video"], found["audio"]


def every(step: int, begin: int, end: int) -> list[int]:
    return list(range(begin, end, step))


# ------------------------------------------------------------------ jumps


@pytest.mark.parametrize("begin", [0, 300, 50_000 - HOUR, 2 * HOUR])
def test_what_follows_a_jump_comes_behind_the_track_that_ended_last(tracks: Tracks, begin: int) -> None:
    timeline = Timeline()
    packets = [*tracks.both(600, 1000, sound_end=1100), *tracks.both(begin, begin + 400)]
    pictures, sounds = place(timeline, packets)

    assert pictures == every(PICTURE, 600, 1000) + every(PICTURE, 1100, 1500)
    assert sounds == every(SOUND, 600, 1500)
    assert timeline.num_jumps == 1
    assert "jumped once" in timeline.notes[0]


def test_a_last_packet_of_the_old_clock_may_come_after_the_first_of_the_new_one(tracks: Tracks) -> None:
    late = tracks.sound(980)
    packets = [*tracks.both(600, 1000, sound_end=980), tracks.picture(0), late, *tracks.both(0, 400)[1:]]
    pictures, sounds = place(Timeline(), packets)

    assert pictures == every(PICTURE, 600, 1400)
    assert sounds == [*every(SOUND, 600, 1000), *every(SOUND, 1000, 1400)]


def test_pictures_that_are_shown_late_are_not_overlapped(tracks: Tracks) -> None:
    first = [tracks.picture(dts, pts) for dts, pts in ((500, 580), (540, 700), (580, 620), (620, 660))]
    second = [tracks.picture(dts) for dts in every(PICTURE, 0, 160)]
    placed = list(Timeline().place([*first, *second]))

    assert [packet.pts for packet in placed] == [580, 700, 620, 660, 740, 780, 820, 860]


def test_jumps_are_counted(tracks: Tracks) -> None:
    timeline = Timeline()
    pictures, sounds = place(timeline, [packet for _ in range(3) for packet in tracks.both(0, 400)])

    assert (pictures, sounds) == (every(PICTURE, 0, 1200), every(SOUND, 0, 1200))
    assert "jumped 2 times" in timeline.notes[0]


@pytest.mark.parametrize("starts_with_sound", [True, False])
def test_a_part_without_sound_leaves_the_next_ones_in_step(tracks: Tracks, starts_with_sound: bool) -> None:
    mute = [tracks.picture(at) for at in every(PICTURE, 600, 2400)]
    last = tracks.both(600, 1000)
    if starts_with_sound:
        last[:2] = last[1::-1]
    pictures, sounds = place(Timeline(), [*tracks.both(600, 2400), *mute, *last])

    assert pictures == every(PICTURE, 600, 2400 + 1800 + 400)
    assert sounds == [*every(SOUND, 600, 2400), *every(SOUND, 4200, 4600)]


def test_a_track_that_jumps_by_itself_leaves_the_others_alone(tracks: Tracks) -> None:
    sounds = [tracks.sound(at) for at in every(SOUND, 0, 20_000)]
    pictures = [tracks.picture(at) for at in [*every(PICTURE, 0, 10_000), *every(PICTURE, 0, 10_000)]]
    packets = [packet for number, picture in enumerate(pictures) for packet in (picture, *sounds[2 * number :][:2])]

    assert place(Timeline(), packets) == (every(PICTURE, 0, 20_000), every(SOUND, 0, 20_000))


def test_the_last_packet_may_jump(tracks: Tracks) -> None:
    pictures, _ = place(Timeline(), [*tracks.both(5000, 5400), tracks.picture(0)])

    assert pictures == every(PICTURE, 5000, 5440)


def test_what_is_held_comes_before_the_source_breaks_off(tracks: Tracks) -> None:
    def breaks_off() -> Iterator[Any]:
        yield from [*tracks.both(5000, 5400), tracks.picture(0)]
        raise av.error.FFmpegError(5, "Input/output error")

    placed: list[Any] = []
    with pytest.raises(av.error.FFmpegError):
        placed.extend(Timeline().place(breaks_off()))
    assert [packet.dts for packet in placed][-1] == 5400


# ------------------------------------------------------------------ what is no jump


@pytest.mark.parametrize("wrong", [-9_000_000, 0, 20_000, 9 * HOUR])
@pytest.mark.parametrize("has_sound", [True, False])
def test_one_wrong_timestamp_is_corrected(tracks: Tracks, wrong: int, has_sound: bool) -> None:
    timeline = Timeline()
    packets = tracks.both(5000, 7000)
    next(packet for packet in packets if packet.stream.type == "video" and packet.dts == 6000).dts = wrong
    pictures, sounds = place(timeline, packets if has_sound else [p for p in packets if p.stream.type == "video"])

    assert pictures == every(PICTURE, 5000, 7000)
    assert sounds == (every(SOUND, 5000, 7000) if has_sound else [])
    assert timeline.notes == ["1 packets with a wrong timestamp got that of their place."]


@pytest.mark.parametrize("pause", [11_000, HOUR])
def test_a_pause_stays(tracks: Tracks, pause: int) -> None:
    timeline = Timeline()
    pictures, _ = place(timeline, [*tracks.both(0, 400), *tracks.both(400 + pause, 800 + pause)])

    assert pictures == every(PICTURE, 0, 400) + every(PICTURE, 400 + pause, 800 + pause)
    assert timeline.notes == []


def test_jitter_stays(tracks: Tracks) -> None:
    times = [0, 40, 80, 120, 20, 60, 240, 280]

    assert place(Timeline(), [tracks.picture(at) for at in times])[0] == times


def test_pictures_far_apart_stay_beside_sound(tracks: Tracks) -> None:
    packets = [tracks.picture(at) for at in every(15_000, 0, 60_000)] + [
        tracks.sound(at) for at in every(SOUND, 0, 60_000)
    ]
    placed = list(Timeline().place(sorted(packets, key=lambda packet: packet.dts)))

    assert [packet.dts for packet in placed] == sorted(packet.dts for packet in packets)


def test_a_track_may_begin_late(tracks: Tracks) -> None:
    packets = [tracks.sound(at) for at in every(SOUND, 0, 40_000)] + [
        tracks.picture(at) for at in every(PICTURE, 30_000, 40_000)
    ]
    pictures, sounds = place(Timeline(), sorted(packets, key=lambda packet: packet.dts))

    assert (pictures, sounds) == (every(PICTURE, 30_000, 40_000), every(SOUND, 0, 40_000))


class Hidden(SimpleNamespace):
    """A packet that is read only for those behind it; PyAV makes none."""

    size, is_discard = 7, True


def test_hidden_pictures_of_an_edit_list_may_go_back(tracks: Tracks) -> None:
    def hide(packet: Any) -> Any:
        names = ("stream", "stream_index", "time_base", "pts", "dts", "duration", "is_keyframe")
        return Hidden(**{name: getattr(packet, name) for name in names})

    shown = [tracks.picture(at) for at in every(PICTURE, 0, 800)]
    hidden = [hide(tracks.picture(at)) for at in every(PICTURE, 0, 400)]

    pictures, _ = place(Timeline(), [*shown[:10], *hidden, *shown[10:]])
    assert pictures == [*every(PICTURE, 0, 400), *every(PICTURE, 0, 400), *every(PICTURE, 400, 800)]


def test_a_first_picture_without_a_dts_tells_nothing_of_the_others(tracks: Tracks) -> None:
    """Matroska has no dts: libavformat finds them, behind the first ones."""
    first = tracks.picture(None, 240)
    placed = list(Timeline().place([first, *(tracks.picture(at) for at in every(PICTURE, 0, 400))]))

    assert [packet.dts for packet in placed] == [None, *every(PICTURE, 0, 400)]


def test_packets_without_times_pass(tracks: Tracks) -> None:
    packets = [tracks.picture(None) for _ in range(3)]

    assert list(Timeline().place(packets)) == packets


# ------------------------------------------------------------------ a source that is found again


def test_a_new_connection_without_dts_goes_on(tracks: Tracks) -> None:
    def without_dts(begin: int) -> list[Any]:
        return [tracks.picture(None, at) for at in every(PICTURE, begin, begin + 400)]

    now = [100.0]
    timeline = Timeline(lambda: now[0])
    placed = list(timeline.place(without_dts(5000)))
    now[0] += 2
    timeline.begin_anew()
    placed += timeline.place(without_dts(80))

    assert [packet.pts for packet in placed] == every(PICTURE, 5000, 5400) + every(PICTURE, 7360, 7760)


def test_a_new_connection_goes_on_from_its_first_keyframe_behind_the_gap(tracks: Tracks) -> None:
    now = [100.0]
    timeline = Timeline(lambda: now[0])
    before = place(timeline, tracks.both(5000, 5400))
    now[0] += 2
    timeline.begin_anew()
    early = [tracks.sound(880), tracks.picture(880, key=False), tracks.sound(900)]
    pictures, sounds = place(timeline, [*early, *tracks.both(920, 1320)])

    assert before[0][-1] == 5360
    assert pictures == every(PICTURE, 5360 + 2000, 5360 + 2400)
    assert sounds == every(SOUND, 5360 + 2000, 5360 + 2400)
    assert timeline.notes == []


# ------------------------------------------------------------------ anything


@pytest.mark.parametrize("seed", range(20))
def test_every_packet_comes_once_in_its_tracks_order_whatever_the_clock_does(tracks: Tracks, seed: int) -> None:
    chance = random.Random(seed)
    packets, at = [], 0
    for _ in range(400):
        if chance.random() < 0.1:
            at = chance.choice([0, at - 50, at - 500, at + 20_000, at + 2 * HOUR, chance.randrange(10**8)])
        at += PICTURE
        kind = chance.choice([tracks.picture, tracks.sound])
        packets.append(kind(max(at, 0) + chance.randrange(-100, 100)))
    timeline = Timeline()
    placed: list[Any] = []
    for part in (packets[:200], packets[200:]):
        placed += timeline.place(part)
        if chance.random() < 0.5:
            timeline.begin_anew()

    for name in ("video", "audio"):
        was = [id(packet) for packet in packets if packet.stream.type == name]
        came = [id(packet) for packet in placed if packet.stream.type == name]
        assert [number for number in was if number in set(came)] == came
    assert len(placed) >= len(packets) - 20, "all but what comes before a new connection's first keyframe"
