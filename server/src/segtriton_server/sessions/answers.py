"""A session's way back to its client: over which of its requests answers travel, and how many of them are unread.

Triton keeps every response of a request until that request ends, read or not. Answers that all travelled over the OPEN
request would therefore fill its memory with all that a session has ever sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from segtriton_protocol import AnswerId, Ended, ErrorCode, Failed, SegtritonError, ServerMessage
from segtriton_protocol.answer_ids import AnswerIds
from segtriton_server.sessions.dialects import Dialect, Responder

# What Triton and gRPC keep of a response beside its payload.
_RESPONSE_BYTES = 1024
# Requests that are open at once for one session: answers of the frames that a decoder holds back end some of them
# later, and beyond this number the oldest ends without one.
_MAX_OPEN_REQUESTS = 8
_UNREAD_WINDOWS = 2
# As many packets as these answers free are more than any client waits for before it sends, and tells what it has read.
_MIN_UNREAD_ANSWERS = 32


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """What a session may leave with Triton, in bytes.

    Attributes:
        unread: output that the client has not said to have read, before its worker pauses.
        one_request: output over one request that never ends before its session does, before the session is handed on.
    """

    unread: int
    one_request: int


class Answers(Protocol):
    """How one session's answers travel. Calls come from one thread at a time."""

    @property
    def knows_migrate(self) -> bool:
        """Whether the client goes on elsewhere when told."""

    @property
    def should_migrate(self) -> bool:
        """Whether Triton holds so much of the session that it should be handed on."""

    @property
    def must_end(self) -> bool:
        """Whether Triton holds so much of the session that it cannot go on."""

    def offer(self, responder: Responder) -> bool:
        """Take a further request of the client's for answers; False where it is of no use and must be ended."""

    def send(self, message: ServerMessage, num_answers: int = 0, num_bytes: int = 0) -> None:
        """Send a message that answers so many packets with so many bytes; Ended and Failed are the last."""

    def abandon(self, message: Failed) -> None:
        """Send the last message if Triton takes one again, after it has refused another; end all requests anyway."""

    def mark_read(self, received: int, acknowledged: AnswerId | None) -> bool:
        """Note what the client says to have read; returns whether it is more than before.

        Raises:
            SegtritonError: INVALID_MESSAGE (more than was sent) or SLOW_CONSUMER.
        """

    def is_full(self, *, is_paused: bool, is_ending: bool) -> bool:
        """Whether the worker must wait for the client to read, if it `is_paused` already or not."""

    def is_cancelled(self) -> bool:
        """Whether the client has cancelled or is gone."""


class OpenRequestAnswers:
    """All answers over the OPEN request, whose order Triton keeps: for clients that acknowledge nothing."""

    def __init__(self, responder: Responder, dialect: Dialect, limits: AnswerLimits, window_packets: int) -> None:
        self.knows_migrate = dialect.knows_migrate
        self._sent_bytes = 0
        self._responder = responder
        self._dialect = dialect
        self._limits = limits
        self._window_packets = window_packets
        # For each message with output: how many answers there were with it, and its bytes.
        self._unread: deque[tuple[int, int]] = deque()
        self._unread_bytes = 0
        self._answers = 0
        self._received = 0

    @property
    def should_migrate(self) -> bool:
        """Whether the request holds so much that the session should be handed on."""
        return self._sent_bytes > self._limits.one_request

    @property
    def must_end(self) -> bool:
        """Whether a client that was told to go on elsewhere, or cannot be told, has had its share."""
        return self._sent_bytes > self._limits.one_request * (2 if self.knows_migrate else 1)

    def offer(self, responder: Responder) -> bool:
        """Take none: their answers would come in any order."""
        return False

    def send(self, message: ServerMessage, num_answers: int = 0, num_bytes: int = 0) -> None:
        """Send a message."""
        self._answers += num_answers
        self._sent_bytes += num_bytes
        if num_bytes and self._dialect.tells_received:
            self._unread.append((self._answers, num_bytes))
            self._unread_bytes += num_bytes
        self._dialect.send(self._responder, message)

    def abandon(self, message: Failed) -> None:
        """Send the last message, or end the request without it."""
        try:
            self._dialect.send(self._responder, message)
        except Exception:  # noqa: BLE001 - nobody knows what Triton's sender raises, and it was no better before
            _end(self._responder)

    def mark_read(self, received: int, acknowledged: AnswerId | None) -> bool:
        """Note how many packets and drop records the client has read."""
        if received > self._answers:
            raise SegtritonError(
                ErrorCode.INVALID_MESSAGE, f"{received} answers are said to be received, and {self._answers} were sent."
            )
        has_grown = received > self._received
        self._received = max(received, self._received)
        while self._unread and self._unread[0][0] <= self._received:
            self._unread_bytes -= self._unread.popleft()[1]
        unread = self._answers - self._received
        if unread > _UNREAD_WINDOWS * self._window_packets:
            raise SegtritonError(ErrorCode.SLOW_CONSUMER, f"{unread} answers are unread.")
        return has_grown

    def is_full(self, *, is_paused: bool, is_ending: bool) -> bool:
        """Whether too much is unread; never after END, as nothing is said of it any more."""
        if is_ending or self._answers - self._received < _MIN_UNREAD_ANSWERS:
            return False
        return self._unread_bytes > self._limits.unread // (2 if is_paused else 1)

    def is_cancelled(self) -> bool:
        """Whether the client has cancelled or is gone."""
        return self._responder.is_cancelled()


class AcknowledgedAnswers:
    """Answers over whichever of the client's requests is open, numbered, and acknowledged by the client.

    Each further request takes answers over from those before it, which end with one each: so Triton holds no more than
    the last few requests' answers, however long the session lasts.
    """

    should_migrate = must_end = False

    def __init__(
        self,
        responder: Responder,
        dialect: Dialect,
        limits: AnswerLimits,
        end_request: Callable[[Responder], None],
    ) -> None:
        """Take OPEN's responder, and what ends a request without an answer, beside this thread."""
        self.knows_migrate = dialect.knows_migrate
        self._requests = deque([responder])
        self._dialect = dialect
        self._limits = limits
        self._end_request = end_request
        self._unread: deque[tuple[AnswerId, int]] = deque()
        self._unread_bytes = 0
        self._ids = AnswerIds()
        self._num_sent = 0

    def offer(self, responder: Responder) -> bool:
        """Take a request."""
        self._requests.append(responder)
        if len(self._requests) > _MAX_OPEN_REQUESTS:
            self._end_request(self._requests.popleft())
        return True

    def send(self, message: ServerMessage, num_answers: int = 0, num_bytes: int = 0) -> None:
        """Send a message over the oldest request, which ends with it if there is a newer one."""
        answer_id = self._ids.take()
        is_last = isinstance(message, Ended | Failed)
        if is_last:
            # A client hangs up with the last answer, and must not meet another request that ends in that moment.
            while len(self._requests) > 1:
                self._requests.popleft().close()
        is_final = is_last or len(self._requests) > 1
        self._dialect.send(self._requests[0], message, answer_id=answer_id, is_final=is_final)
        if is_final:
            self._requests.popleft()
        self._num_sent += 1
        self._unread.append((answer_id, num_bytes + _RESPONSE_BYTES))
        self._unread_bytes += num_bytes + _RESPONSE_BYTES

    def abandon(self, message: Failed) -> None:
        """Send the last message, or end all requests without it."""
        try:
            self.send(message)
        except Exception:  # noqa: BLE001 - nobody knows what Triton's sender raises, and it was no better before
            for request in self._requests:
                _end(request)

    def mark_read(self, received: int, acknowledged: AnswerId | None) -> bool:
        """Note the newest answer that the client has read."""
        first = self._num_sent - len(self._unread)
        if acknowledged is None or acknowledged.number < first:
            return False
        position = acknowledged.number - first
        if position >= len(self._unread) or self._unread[position][0] != acknowledged:
            raise SegtritonError(
                ErrorCode.INVALID_MESSAGE, f"Answer {acknowledged.number} is acknowledged, and was not sent like that."
            )
        for _ in range(position + 1):
            self._unread_bytes -= self._unread.popleft()[1]
        return True

    def is_full(self, *, is_paused: bool, is_ending: bool) -> bool:
        """Whether too much is unread."""
        return self._unread_bytes > self._limits.unread // (2 if is_paused else 1)

    def is_cancelled(self) -> bool:
        """Whether the client has cancelled or is gone."""
        return self._requests[-1].is_cancelled()


def _end(request: Responder) -> None:
    # Triton keeps a request for ever that has no final flag, which is smaller than any message.
    with suppress(Exception):
        request.close()
