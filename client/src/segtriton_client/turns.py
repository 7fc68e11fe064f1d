"""When a live source's packets go out: one by one to a server that is quick, several together to one that is busy."""

from __future__ import annotations

_MOST_PACKETS = 8
# A server that is late only once has had something else to do: a session that opens, a decoder that starts.
_LATE_ANSWERS = 3
# So many packets answered promptly, in a row, before smaller messages are tried again: at first and, as trying in
# vain disturbs all sessions, at last.
_LEAST_PATIENCE, _MOST_PATIENCE = 32, 512


class Turns:
    """How many packets of a live source make a message.

    A message waits for the answer to the last one (Nagle, "Congestion Control in IP/TCP Internetworks", RFC 896, 1984).
    Where that comes after the next message would have been due, messages are too many for the server: they become
    larger, until answers come in time. Waiting alone would let all sessions queue at the server all the time, and
    frames would take nearly twice as long.

    Attributes:
        num_packets: how many packets the next message should have.
    """

    def __init__(self) -> None:
        """Begin with single packets."""
        self.num_packets = 1
        self._late_answers = 0
        self._prompt_packets = 0
        self._patience = _LEAST_PATIENCE
        self._has_tried = False

    def note_answer(self, num_waiting: int) -> None:
        """Note that the last message was answered when so many packets waited to be the next one."""
        is_late = num_waiting >= self.num_packets
        is_prompt = 2 * num_waiting < self.num_packets
        self._late_answers = self._late_answers + 1 if is_late else 0
        self._prompt_packets = self._prompt_packets + self.num_packets if is_prompt else 0
        if self._late_answers >= _LATE_ANSWERS:
            self._grow()
        elif self._prompt_packets >= self._patience and self.num_packets > 1:
            self._try_smaller()

    def _grow(self) -> None:
        self.num_packets = min(self.num_packets + 1, _MOST_PACKETS)
        self._late_answers = 0
        if self._has_tried:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        self._has_tried = False

    def _try_smaller(self) -> None:
        self.num_packets -= 1
        self._prompt_packets = 0
        self._has_tried = True
