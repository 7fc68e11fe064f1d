"""How many packets a live session should put into a message."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

_USUAL_FRAME_RATE = Fraction(30)
_MOST_PACKETS = 8


class LiveLoad:
    """The live sessions' frame rates, against the messages that the router can take.

    Each message of a client costs the router the same, whatever it holds: Triton hands requests to a model one after
    another. Frames that arrive singly from very many sessions would queue there and all come late; two or three in a
    message come a frame or two late, and no more.
    """

    def __init__(self, messages_per_second: float) -> None:
        """Take how many messages a second live sessions may make together."""
        self._messages_per_second = messages_per_second
        self._frame_rates: dict[str, Fraction] = {}

    def add(self, session_id: str, frame_rate: Fraction | None) -> None:
        """Count a session in; `frame_rate` is in frames a second, None where its client does not know."""
        self._frame_rates[session_id] = frame_rate or _USUAL_FRAME_RATE

    def remove(self, session_id: str) -> None:
        """Count a session out; one that was not in is left alone."""
        self._frame_rates.pop(session_id, None)

    @property
    def group_packets(self) -> int:
        """The packets that each live message should hold at present, 1 to 8."""
        frames_per_second = sum(list(self._frame_rates.values()))
        return min(max(1, ceil(frames_per_second / self._messages_per_second)), _MOST_PACKETS)
