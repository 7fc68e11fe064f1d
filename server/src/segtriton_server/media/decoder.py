"""Packets to pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from segtriton_protocol import Packet
from segtriton_server.frames import Picture


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A picture and the number of the packet that it was coded in.

    `owner` keeps alive the decoder's buffer that the planes are views of.
    """

    seq: int
    picture: Picture
    owner: object


class DamagedPacketError(ValueError):
    """The decoder refused a packet, perhaps an earlier one than that just given."""


class Decoder(Protocol):
    """One session's decoder; one thread at a time."""

    name: str

    def decode(self, packet: Packet) -> list[DecodedFrame]:
        """Return the pictures that are ready, in presentation order; raises DamagedPacketError."""

    def flush(self) -> list[DecodedFrame]:
        """Return the pictures that are left at the end; raises DamagedPacketError."""

    def close(self) -> None:
        """Release the decoder."""
