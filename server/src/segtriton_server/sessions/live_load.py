"""How many packets a live session should put into a message."""

from __future__ import annotations

import threading
from fractions import Fraction
from math import ceil

_USUAL_FRAME_RATE = Fraction(30)
# What a client says of its rate moves all others' messages: more than any camera's rate is not believed.
_MAX_FRAME_RATE = Fraction(120)
_MAX_PACKETS = 8
# Groups become smaller again only where the messages then stay this far below the limit: the measured cost wavers.
_SHRINK_BELOW = 0.9


class LiveLoad:
    """The live sessions' frame rates, against the messages that the router can take.

    Each message of a client costs the router the same, whatever it holds: Triton hands requests to a model one after
    another. Frames that arrive singly from very many sessions would queue there and all come late; two or three in a
    message come a frame or two late, and no more. Any thread may call.

    Attributes:
        group_packets: the packets that each live message should hold at present, 1 to 8.
    """

    def __init__(self, messages_per_second: float) -> None:
        """Take how many messages a second live sessions may make together."""
        self.group_packets = 1
        self._messages_per_second = messages_per_second
        self._lock = threading.Lock()
        # In frames in 1000 seconds, as whole numbers: their sum is kept, and what is added comes off again exactly.
        self._rates: dict[str, int] = {}
        self._sum = 0

    @property
    def messages_per_second(self) -> float:
        """How many messages a second live sessions may make together."""
        return self._messages_per_second

    @messages_per_second.setter
    def messages_per_second(self, value: float) -> None:
        with self._lock:
            self._messages_per_second = value
            self._update(0)

    def add(self, session_id: str, frame_rate: Fraction | None) -> None:
        """Count a session in; `frame_rate` is in frames a second, None where its client does not know."""
        rate = round(min(frame_rate or _USUAL_FRAME_RATE, _MAX_FRAME_RATE) * 1000)
        with self._lock:
            self._update(rate - self._rates.get(session_id, 0))
            self._rates[session_id] = rate

    def remove(self, session_id: str) -> None:
        """Count a session out; one that was not in is left alone."""
        with self._lock:
            self._update(-self._rates.pop(session_id, 0))

    def _update(self, change: int) -> None:
        self._sum += change
        grown, shrunk = self._packets_below(1.0), self._packets_below(_SHRINK_BELOW)
        self.group_packets = min(max(grown, self.group_packets), shrunk)

    def _packets_below(self, share: float) -> int:
        wanted = ceil(self._sum / 1000 / (share * self._messages_per_second))
        return min(max(1, wanted), _MAX_PACKETS)
