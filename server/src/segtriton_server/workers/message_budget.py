"""How many messages a worker may write: a flood would take the router's time, and Triton's memory, from others."""

from __future__ import annotations

import threading
import time

from segtriton_protocol import ErrorCode, SegtritonError

# A packet brings a message from the decoder, one from the encoder, and its share of one from the network, at most.
_FOR_A_PACKET = 4
_FOR_OTHER_WORK = 32
# A worker writes a heartbeat twice a second.
_FOR_A_SECOND = 20
_TO_START_WITH = 1000


class MessageBudget:
    """Grows with the work that a worker gets, and with time; any thread calls `earn`, one `spend`."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._earned = _TO_START_WITH
        self._spent = 0
        self._lock = threading.Lock()

    def earn(self, num_packets: int) -> None:
        """Note a message to the worker, with so many packets."""
        with self._lock:
            self._earned += _FOR_A_PACKET * num_packets if num_packets else _FOR_OTHER_WORK

    def spend(self) -> None:
        """Note a message of the worker's; raises INVALID_MESSAGE where it had no reason for so many."""
        self._spent += 1
        if self._spent <= self._earned:
            return
        most = self._earned + _FOR_A_SECOND * (time.monotonic() - self._started)
        if self._spent > most:
            raise SegtritonError(
                ErrorCode.INVALID_MESSAGE, f"{self._spent} messages came for work that takes {most:.0f} at most."
            )
