"""The error contract: a stable code, whether a retry can help, and one sentence of advice.

Every failure that reaches a client is a `SegtritonError`; clients choose by `code` and
`retryable`, never by the message.
"""

from __future__ import annotations

import sys
from enum import Enum
from typing import Any


class ErrorCode(Enum):
    """Why a request or a session failed. The names are the contract and never change."""

    def __init__(self, retryable: bool, meaning: str, advice: str) -> None:
        self.retryable = retryable
        self.meaning = meaning
        self.advice = advice

    PROTOCOL_MISMATCH = (
        False,
        "Client and server speak different versions of the protocol.",
        "Install the client release that matches the server.",
    )
    UNAUTHENTICATED = (
        False,
        "The request carries no token that is accepted here.",
        "Give the token with --token or --token-file.",
    )
    PERMISSION_DENIED = (
        False,
        "The session was opened by another tenant.",
        "Use the token that the session was opened with.",
    )
    INVALID_MESSAGE = (
        False,
        "A message cannot be read; it ends the session that it names.",
        "Correct the named field; the protocol page lists what it may hold.",
    )
    INVALID_PACKET = (
        False,
        "A packet is empty, its numbers do not add up, or a message has too many; it ends the session.",
        "Send each compressed packet whole, numbered in order, as the demuxer gave it.",
    )
    UNKNOWN_SESSION = (
        False,
        "There is no such session, or none any more.",
        "Open a session first and use the id of its reply on the same server.",
    )
    DUPLICATE_OPEN = (
        False,
        "A session with this open_key is open, or OPEN names a session.",
        "Send one OPEN for each session, each with an open_key of its own.",
    )
    UNSUPPORTED_FORMAT = (
        False,
        "The decoder cannot take this video, or it is not what OPEN said.",
        "Convert the video to H.264, HEVC, VP9 or AV1 first.",
    )
    LIMIT_EXCEEDED = (
        False,
        "The picture has more pixels than the server takes.",
        "Reduce the picture's size below the limits of the OPEN reply.",
    )
    UNKNOWN_NETWORK = (
        False,
        "The model runs another network.",
        "Choose one of the networks named in the message.",
    )
    UNKNOWN_CLASS = (
        False,
        "The network knows no such class.",
        "Choose one of the class names in the message.",
    )
    UNKNOWN_ENCODER = (
        False,
        "There is no such encoder, or it does not work on this server.",
        "Choose one of the encoders named in the message, or auto.",
    )
    NEED_KEYFRAME = (
        False,
        "The first packet is not a keyframe.",
        "Begin the session with a keyframe.",
    )
    DECODE_FAILED = (
        False,
        "Not one packet of the session could be decoded.",
        "Check the file with a player; its packets do not decode.",
    )
    WINDOW_EXCEEDED = (
        False,
        "More was sent than the credit allows.",
        "Wait for credit before sending more packets.",
    )
    SLOW_CONSUMER = (
        False,
        "The client sends on and leaves too many answers unread.",
        "Read the responses while you send.",
    )
    IDLE_TIMEOUT = (
        True,
        "Nothing was sent or received for too long.",
        "Open a new session and keep packets coming.",
    )
    CANCELLED = (
        False,
        "The client said CANCEL, or is gone.",
        "Open a new session if the cancel was not meant.",
    )
    RESOURCE_EXHAUSTED = (
        True,
        "Slots, a tenant's share of them, or memory are used up.",
        "Retry after the time in retry_after_seconds, or add replicas.",
    )
    DRAINING = (
        True,
        "The server is about to stop.",
        "Open the session on another server.",
    )
    WORKER_LOST = (
        True,
        "The process that worked on the session died, or none is ready.",
        "Open a new session and send the video again from a keyframe.",
    )
    STAGE_TIMEOUT = (
        True,
        "A call of a decoder, network or encoder did not return in time and was cut.",
        "Open a new session; report the clip if it happens again.",
    )
    INTERNAL = (
        False,
        "Something happened that should not.",
        "Report it with the session id and the server's log of that time.",
    )


class SegtritonError(Exception):
    """A typed failure of one request or session.

    Attributes:
        code: the stable code.
        message: one sentence on what is wrong, free of paths and traces.
        session_id: the session concerned, or "" where there is none.
        seq: the packet concerned, or None.
        retry_after_seconds: when a retry is worth while, or None.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        session_id: str = "",
        seq: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message} {code.advice}")
        self.code = code
        self.message = message
        self.session_id = session_id
        self.seq = seq
        self.retry_after_seconds = retry_after_seconds

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed later or elsewhere."""
        return self.code.retryable

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "code": self.code.name,
            "message": self.message,
            "session_id": self.session_id,
            "seq": self.seq,
            "retryable": self.retryable,
            "retry_after_seconds": self.retry_after_seconds,
            "advice": self.code.advice,
        }

    @classmethod
    def from_json(cls, wire: dict[str, Any]) -> SegtritonError:
        """Read the wire form; a code of a newer server becomes INTERNAL with its name kept."""
        name = str(wire.get("code", ""))
        message = str(wire.get("message", ""))
        known = name in ErrorCode.__members__
        seq = wire.get("seq")
        return cls(
            ErrorCode[name] if known else ErrorCode.INTERNAL,
            message if known else f"{name}: {message}",
            session_id=str(wire.get("session_id", "")),
            seq=seq if isinstance(seq, int) else None,
            retry_after_seconds=finite_number(wire.get("retry_after_seconds")),
        )


def finite_number(value: object) -> float | None:
    """Return a JSON value as a float, None if it is no number or, as JSON allows, too large for one."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)
