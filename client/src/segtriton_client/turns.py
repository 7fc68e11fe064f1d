"""When a live source's packets go out: one by one to a server that is quick, several together to one that is busy."""

from __future__ import annotations

_MOST_PACKETS = 8
# So many prompt answers in a row before smaller messages are tried again: at first and, as trying disturbs, at last.
_LEAST_PATIENCE, _MOST_PATIENCE = 16, 512


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
        self._prompt_answers = 0
        self._patience = _LEAST_PATIENCE

    def note_answer(self, num_waiting: int) -> None:
        """Note that the last message was answered when so many packets waited to be the next one."""
        if num_waiting >= self.num_packets:
            self.num_packets = min(self.num_packets + 1, _MOST_PACKETS)
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            self._prompt_answers = 0
        elif 2 * num_waiting < self.num_packets:
            self._note_prompt_answer()
        else:
            self._prompt_answers = 0

    def _note_prompt_answer(self) -> None:
        self._prompt_answers += 1
        if self._prompt_answers == self._patience:
            self.num_packets = max(self.num_packets - 1, 1)
            self._prompt_answers = 0
