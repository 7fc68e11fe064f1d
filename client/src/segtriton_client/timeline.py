"""The clock of the output: it goes on where the source's jumps, and where the source was lost and found again.

A jump is what FFmpeg calls a timestamp discontinuity: recordings put one behind the other, an encoder that restarts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import av
import av.error
from av.container import InputContainer

from segtriton_client.errors import InputError
from segtriton_client.sources import Source, open_input

_RETRY_SECONDS = 0.25
# Jitter is a dts that goes back by no more than either: the first is the limit of FFmpeg's command.
_MAX_JITTER_SECONDS, _MAX_JITTER_FRAMES = 0.1, 4
# A track that goes back by less than this is disordered, unless the others go with it.
_MIN_LONE_JUMP_SECONDS = 1.0
# A dts that goes ahead by more needs a second one that confirms it (FFmpeg's dts_delta_threshold).
_MAX_STEP_SECONDS = 10.0
# A clock that goes ahead by more has jumped; by less, the camera paused.
_MAX_PAUSE_SECONDS = 3600.0
# How far the tracks of a container are apart in it.
_MAX_INTERLEAVING_SECONDS = 1.0
# What is read at most until all tracks have followed the first one.
_MAX_HELD_SECONDS, _MAX_HELD_PACKETS = 2.0, 512
_DENSE_TRACKS = ("video", "audio")

_Packet: TypeAlias = "av.Packet[Any]"


@dataclass(slots=True)
class _Track:
    """Where a track is in the output's clock: its newest dts and the end of what is shown, in seconds.

    While its packets have no dts, as a reordered track's first ones in Matroska, a pts stands for it.
    """

    offset: float
    dts: float
    step: float
    shown: float
    has_dts: bool

    @property
    def next_dts(self) -> float:
        return self.dts + self.step


@dataclass(slots=True)
class _Arrival:
    """A track's first dts, first pts and newest dts in a clock that may be new, in seconds of the source's clock."""

    dts: float
    pts: float
    newest: float


class Timeline:
    """Moves the timestamps of all tracks by the same time at each jump, so that they stay in step.

    A packet whose dts jumps is held back until those behind it tell a new clock from one wrong timestamp, and until
    the other tracks have come to the new clock: then it is known where none of them overlaps what came before.

    Attributes:
        num_jumps: how often the source's clock jumped.
        num_corrected: how many packets had a wrong timestamp.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with the source's own timestamps; `clock` says for how long a source was lost."""
        self.num_jumps = self.num_corrected = 0
        self._clock = clock
        self._offset = 0.0
        self._ticks: dict[int, float] = {}
        self._tracks: dict[int, _Track] = {}
        self._held: list[_Packet] = []
        self._arrivals: dict[int, _Arrival] = {}
        self._placed_at = self._held_at = 0.0
        self._is_reconnected = False
        self._waits_for_keyframe = False

    @property
    def notes(self) -> list[str]:
        """What was done to the timestamps, each one sentence."""
        times = "once" if self.num_jumps == 1 else f"{self.num_jumps} times"
        moved = f"The source's clock jumped {times}; what follows a jump was moved to the end of what came before it."
        corrected = f"{self.num_corrected} packets with a wrong timestamp got that of their place."
        return [moved] * bool(self.num_jumps) + [corrected] * bool(self.num_corrected)

    def begin_anew(self) -> None:
        """Note that what follows is of a new connection, from its first keyframe on."""
        self._is_reconnected = bool(self._tracks)
        self._ticks.clear()
        self._waits_for_keyframe = True

    def place(self, packets: Iterable[_Packet]) -> Iterator[_Packet]:
        """Give a connection's packets with timestamps that go on."""
        try:
            for packet in packets:
                if not self._comes_too_early(packet):
                    yield from self._take(packet)
        except av.error.FFmpegError:
            yield from self._release_all()
            raise
        yield from self._release_all()

    def _comes_too_early(self, packet: _Packet) -> bool:
        """Whether a new connection's first keyframe should come before a packet."""
        if self._waits_for_keyframe:
            self._waits_for_keyframe = packet.stream.type != "video" or not packet.is_keyframe
        return self._waits_for_keyframe and packet.size > 0

    def _take(self, packet: _Packet) -> Iterator[_Packet]:
        if not packet.size:  # the end
            yield from self._release_all()
            yield packet
        elif self._held:
            yield from self._take_in_doubt(packet)
        elif self._is_reconnected or self._strays(packet):
            yield from self._hold(packet)
        else:
            yield self._move(packet)

    def _strays(self, packet: _Packet) -> bool:
        """Whether a packet does not follow its track."""
        found, track = self._time_of(packet), self._tracks.get(packet.stream_index)
        if found is None or track is None or packet.dts is None or not track.has_dts or packet.is_discard:
            return False
        if self._follows(track, found + track.offset):
            return False
        placed = found + self._offset
        beside = [other for other in self._tracks.values() if other.offset == self._offset]
        is_late = self._follows(track, placed) and any(
            abs(placed - other.next_dts) <= _MAX_INTERLEAVING_SECONDS for other in beside
        )
        if is_late:  # it comes to a clock that the others have come to before
            track.offset = self._offset
        return not is_late

    def _follows(self, track: _Track, dts: float) -> bool:
        if dts < track.dts - max(_MAX_JITTER_SECONDS, _MAX_JITTER_FRAMES * track.step):
            return False
        return min(dts - other.next_dts for other in self._tracks.values()) <= _MAX_STEP_SECONDS

    def _take_in_doubt(self, packet: _Packet) -> Iterator[_Packet]:
        """Take a packet into the clock that it is nearer to, the new one or the one before."""
        index, to_new, to_old = packet.stream_index, self._distance_to_new(packet), self._distance_to_old(packet)
        if to_new == to_old == math.inf and index in self._tracks:  # yet another clock
            yield from self._release()
            yield from self._take(packet)
        elif to_new <= to_old:
            yield from self._hold(packet)
        else:
            yield from self._correct_held(index)
            if not self._arrivals:
                yield from self._release()
            yield self._move(packet)

    def _distance_to_new(self, packet: _Packet) -> float:
        """Return how far in seconds a packet is from the new clock; infinity if it is not of that clock."""
        found, arrival = self._time_of(packet), self._arrivals.get(packet.stream_index)
        if found is None or packet.dts is None or self._is_reconnected:
            return 0.0
        if arrival is None:
            distance = min(abs(found - other.newest) for other in self._arrivals.values())
            return distance if distance <= _MAX_INTERLEAVING_SECONDS else math.inf
        step = found - arrival.newest
        return abs(step) if -_MAX_JITTER_SECONDS <= step <= _MAX_STEP_SECONDS else math.inf

    def _distance_to_old(self, packet: _Packet) -> float:
        """Return how far in seconds a packet is from the clock before; infinity if it is not of that clock."""
        found, track = self._time_of(packet), self._tracks.get(packet.stream_index)
        if found is None:
            return math.inf
        if track is None:
            return min(abs(found + self._offset - other.next_dts) for other in self._tracks.values())
        placed = found + track.offset
        return abs(placed - track.next_dts) if self._follows(track, placed) else math.inf

    def _correct_held(self, index: int) -> Iterator[_Packet]:
        """Give the packets of a track that had wrong timestamps, and nothing more, as the next one shows."""
        if self._arrivals.pop(index, None) is None:
            return
        wrong = [held for held in self._held if held.stream_index == index]
        self._held = [held for held in self._held if held.stream_index != index]
        yield from map(self._correct, wrong)

    def _hold(self, packet: _Packet) -> Iterator[_Packet]:
        if not self._held:
            self._held_at = self._clock()
        self._held.append(packet)
        found = self._time_of(packet)
        if found is not None and packet.stream.type in _DENSE_TRACKS:
            self._note_arrival(packet, found)
        is_confirmed = len(self._held) > 1 and self._tracks.keys() <= self._arrivals.keys()
        is_long = any(arrival.newest - arrival.dts > _MAX_HELD_SECONDS for arrival in self._arrivals.values())
        if is_confirmed or is_long or len(self._held) >= _MAX_HELD_PACKETS:
            yield from self._release()

    def _note_arrival(self, packet: _Packet, dts: float) -> None:
        pts = dts if packet.pts is None else packet.pts * self._tick_of(packet)
        arrival = self._arrivals.setdefault(packet.stream_index, _Arrival(dts, pts, dts))
        arrival.pts, arrival.newest = min(pts, arrival.pts), dts

    def _release_all(self) -> Iterator[_Packet]:
        while self._held:
            yield from self._release()

    def _release(self) -> Iterator[_Packet]:
        """Give what is held, behind what came before."""
        held, self._held = self._held, []
        arrivals, self._arrivals = self._arrivals, {}
        self._move_clock(arrivals)
        self._is_reconnected = False
        for packet in held:
            is_first = self._time_of(packet) is not None and arrivals.pop(packet.stream_index, None) is not None
            yield from [self._move(packet)] if is_first else self._take(packet)

    def _move_clock(self, arrivals: dict[int, _Arrival]) -> None:
        """Choose the smallest offset at which no track overlaps itself, and keep the old one over a pause."""
        known = {index: (self._tracks[index], found) for index, found in arrivals.items() if index in self._tracks}
        if not known:
            return
        offset = max(max(old.next_dts - new.dts, old.shown - new.pts) for old, new in known.values())
        back = offset - next(iter(known.values()))[0].offset
        is_lone = len(known) < len(self._tracks)
        if self._is_reconnected:
            step = max(old.step for old, _ in known.values())
            offset += max(0.0, self._held_at - self._placed_at - step)
        elif -_MAX_PAUSE_SECONDS <= back <= (_MIN_LONE_JUMP_SECONDS if is_lone else 0):
            return
        else:
            self.num_jumps += 1
        self._offset = offset
        for old, _ in known.values():
            old.offset = offset

    def _move(self, packet: _Packet) -> _Packet:
        """Move a packet's timestamps as its track's clock was."""
        found, track = self._time_of(packet), self._tracks.get(packet.stream_index)
        if found is None:
            return packet
        offset = track.offset if track is not None else self._offset
        self._shift(packet, offset)
        is_placed = packet.dts is not None or track is None or not track.has_dts
        if is_placed and packet.stream.type in _DENSE_TRACKS and not packet.is_discard:
            self._note_place(packet, found + offset, offset)
        return packet

    def _correct(self, packet: _Packet) -> _Packet:
        """Put a packet with a wrong timestamp where its track is."""
        found, track = self._time_of(packet), self._tracks.get(packet.stream_index)
        if found is not None and track is not None:
            self.num_corrected += 1
            self._shift(packet, track.next_dts - found)
            self._note_place(packet, track.next_dts, track.offset)
        return packet

    def _shift(self, packet: _Packet, offset: float) -> None:
        ticks = round(offset / self._tick_of(packet))
        if ticks:
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks

    def _time_of(self, packet: _Packet) -> float | None:
        """When a packet is decoded, in seconds of the source's clock; exact enough to be rounded to ticks."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        return None if stamp is None else stamp * self._tick_of(packet)

    def _tick_of(self, packet: _Packet) -> float:
        index = packet.stream_index
        if index not in self._ticks:
            self._ticks[index] = float(packet.time_base)
        return self._ticks[index]

    def _note_place(self, packet: _Packet, dts: float, offset: float) -> None:
        before, tick = self._tracks.get(packet.stream_index), self._tick_of(packet)
        step = packet.duration * tick if packet.duration else 0.0
        if not step and before is not None:
            step = dts - before.dts if 0 < dts - before.dts <= _MAX_HELD_SECONDS else before.step
        shown = step + (dts if packet.pts is None else min(packet.pts * tick, dts + _MAX_STEP_SECONDS))
        newest = max(shown, before.shown) if before is not None else shown
        self._tracks[packet.stream_index] = _Track(offset, dts, step, newest, packet.dts is not None)
        self._placed_at = self._clock()


def time_of(packet: _Packet) -> Fraction | None:
    """When a packet is decoded, in seconds of its own clock."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return None if stamp is None else stamp * packet.time_base


def reopen(source: Source, seconds: float) -> InputContainer | None:
    """Open a source again, for so many seconds; None where it does not come back."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return open_input(source)
        except InputError:
            if time.monotonic() > deadline:
                return None
            time.sleep(_RETRY_SECONDS)
