"""What goes wrong in one run: chosen by a seed alone, so that a run can be had again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stamped_clips import RECIPES, Recipe

from segtriton_protocol import Packet


@dataclass(frozen=True)
class ClientPlan:
    """One client's misfortunes; all places are counts of packets sent or answers read, None means never.

    Attributes:
        recipe: the clip.
        is_resuming: whether it is the client of the SDK, which goes on elsewhere, or one of a single session.
        lost, doubled, swapped: packets that the network loses, repeats, or exchanges with the next.
        pauses: before which answers the reader sleeps.
        leaves_after: answers after which it cancels, vanishes or, if it resumes, loses its connection.
        leaves_politely: whether it says CANCEL or is just gone.
        kills_after: answers after which a worker of the server is killed.
        group: packets a message.
    """

    recipe: Recipe
    is_resuming: bool
    lost: frozenset[int]
    doubled: frozenset[int]
    swapped: frozenset[int]
    pauses: frozenset[int]
    leaves_after: int | None
    leaves_politely: bool
    kills_after: int | None
    group: int

    def sent(self, packets: Sequence[Packet]) -> list[Packet]:
        """What of a clip goes to the server, in this order."""
        arriving = [packet for packet in self._swap(packets) if packet.seq not in self.lost]
        return [copy for packet in arriving for copy in [packet] * (1 + (packet.seq in self.doubled))]

    def _swap(self, packets: Sequence[Packet]) -> Iterator[Packet]:
        held: list[Packet] = []
        for packet in packets:
            if packet.seq in self.swapped:
                held.append(packet)
                continue
            yield packet
            yield from held
            held.clear()
        yield from held


def plans(seed: int) -> list[ClientPlan]:
    """The clients of one run."""
    dice = random.Random(seed)
    return [_plan(dice) for _ in range(dice.randint(1, 4))]


def _plan(dice: random.Random) -> ClientPlan:
    recipe = dice.choice(RECIPES)
    is_resuming = dice.random() < 0.35
    # The first packet has to be a keyframe; a client that resumes numbers what it has, so that it can lose nothing.
    numbers = range(1, recipe.frames)

    def some(chance: float, most: int) -> frozenset[int]:
        return frozenset(dice.sample(numbers, dice.randint(1, most)) if dice.random() < chance else ())

    media = (frozenset[int](),) * 3 if is_resuming else (some(0.4, 6), some(0.4, 6), some(0.4, 4))
    return ClientPlan(
        recipe,
        is_resuming,
        *media,
        pauses=some(0.3, 3),
        leaves_after=dice.randrange(recipe.frames) if dice.random() < 0.35 else None,
        leaves_politely=dice.random() < 0.5,
        kills_after=dice.randrange(recipe.frames) if dice.random() < 0.15 else None,
        group=dice.choice([1, 3, 8, 20]),
    )
