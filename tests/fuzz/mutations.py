"""Makes hostile inputs out of good ones; an input is its number, and can be had again by it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from originals import ORIGINALS, length_prefixed, original_clip
from raw_client import Clip

from segtriton_protocol import EFFECTS, Framing, OutputSpec, Packet

_CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "mjpeg")
_SIDES = (1, 2, 15, 16, 48, 63, 64, 65, 127, 640, 4096)
# Values at which counters and lengths go wrong.
_EDGES = (0, 1, 2, 127, 128, 254, 255)
_HEADER_BYTES = 48


@dataclass(frozen=True)
class HostileInput:
    """What one client sends."""

    number: int
    clip: Clip
    output: OutputSpec


def hostile_input(number: int) -> HostileInput:
    """The input of a number."""
    dice = random.Random(number)
    source = dice.randrange(len(ORIGINALS) + 1)
    clip = length_prefixed() if source == len(ORIGINALS) else original_clip(ORIGINALS[source])
    packets = list(clip.packets)
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        dice.choice(_PACKET_MUTATIONS)(dice, packets)
    video = clip.format
    if dice.random() < 0.25:
        video = replace(video, extradata=_bent(dice, video.extradata or packets[0].payload[:_HEADER_BYTES])[:4096])
    if dice.random() < 0.15:
        video = replace(video, width=dice.choice(_SIDES), height=dice.choice(_SIDES))
    if dice.random() < 0.05:
        video = replace(video, codec=dice.choice(_CODECS))
    if dice.random() < 0.05 and video.extradata:
        video = replace(video, framing=dice.choice(list(Framing)))
    output = OutputSpec(effect=dice.choice(EFFECTS), encoder=dice.choice(("mask", "mjpeg", "h264")), preset="ultrafast")
    return HostileInput(number, Clip(video, _renumbered(packets)), output)


def _renumbered(packets: list[Packet]) -> tuple[Packet, ...]:
    kept = [packet for packet in packets if packet.payload][:64]
    first = replace(kept[0], is_keyframe=True)
    return tuple(replace(packet, seq=seq) for seq, packet in enumerate([first, *kept[1:]]))


def _bent(dice: random.Random, payload: bytes) -> bytes:
    content = bytearray(payload)
    dice.choice(_BYTE_MUTATIONS)(dice, content)
    return bytes(content) or b"\0"


# ---------------------------------------------------------------- bytes


def _place(dice: random.Random, content: bytearray) -> int:
    # Where the lengths and the sizes stand, more often than where the pictures do.
    return dice.randrange(min(len(content), _HEADER_BYTES) if dice.random() < 0.5 else len(content))


def _flip_bits(dice: random.Random, content: bytearray) -> None:
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        content[_place(dice, content)] ^= 1 << dice.randrange(8)


def _set_edges(dice: random.Random, content: bytearray) -> None:
    for _ in range(dice.choice((1, 2, 4))):
        content[_place(dice, content)] = dice.choice(_EDGES)


def _truncate(dice: random.Random, content: bytearray) -> None:
    del content[dice.randrange(len(content)) :]


def _cut_out(dice: random.Random, content: bytearray) -> None:
    start = _place(dice, content)
    del content[start : start + dice.randrange(1, 32)]


def _insert(dice: random.Random, content: bytearray) -> None:
    place = _place(dice, content)
    content[place:place] = dice.choice((dice.randbytes(dice.randrange(1, 32)), b"\0\0\1", b"\xff" * 16, bytes(64)))


def _repeat(dice: random.Random, content: bytearray) -> None:
    start = _place(dice, content)
    piece = content[start : start + dice.randrange(1, 128)]
    content[start:start] = piece * dice.choice((1, 2, 16))


def _noise(dice: random.Random, content: bytearray) -> None:
    content[:] = dice.randbytes(dice.randrange(1, 512))


_BYTE_MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    *(_flip_bits, _flip_bits, _set_edges, _set_edges),
    *(_truncate, _cut_out, _insert, _repeat, _noise),
)

# ---------------------------------------------------------------- packets


def _bend(dice: random.Random, packets: list[Packet]) -> None:
    place = dice.randrange(len(packets))
    if packets[place].payload:
        packets[place] = replace(packets[place], payload=_bent(dice, packets[place].payload))


def _bend_all(dice: random.Random, packets: list[Packet]) -> None:
    for place in range(len(packets)):
        if packets[place].payload:
            packets[place] = replace(packets[place], payload=_bent(dice, packets[place].payload))


def _lose(dice: random.Random, packets: list[Packet]) -> None:
    if len(packets) > 1:
        del packets[dice.randrange(len(packets))]


def _swap(dice: random.Random, packets: list[Packet]) -> None:
    one, other = dice.randrange(len(packets)), dice.randrange(len(packets))
    packets[one], packets[other] = packets[other], packets[one]


def _double(dice: random.Random, packets: list[Packet]) -> None:
    place = dice.randrange(len(packets))
    packets[place:place] = [packets[place]] * dice.choice((1, 1, 8))


def _splice(dice: random.Random, packets: list[Packet]) -> None:
    """A packet of another codec, or of another form of this one."""
    other = original_clip(dice.choice(ORIGINALS)).packets
    packets[dice.randrange(len(packets))] = dice.choice(other)


def _mistime(dice: random.Random, packets: list[Packet]) -> None:
    place = dice.randrange(len(packets))
    stamp = dice.choice((None, 0, -1, 2**62, -(2**62), dice.randrange(100)))
    packets[place] = replace(packets[place], pts=stamp, dts=stamp, duration=dice.choice((0, 1, 2**40)))


def _mark(dice: random.Random, packets: list[Packet]) -> None:
    place = dice.randrange(len(packets))
    packets[place] = replace(packets[place], is_keyframe=dice.random() < 0.5, is_hidden=dice.random() < 0.5)


_PACKET_MUTATIONS: tuple[Callable[[random.Random, list[Packet]], None], ...] = (
    *(_bend, _bend, _bend, _bend_all),
    *(_lose, _swap, _double, _splice, _mistime, _mark),
)
