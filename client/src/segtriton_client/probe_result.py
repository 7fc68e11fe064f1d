"""What one synthetic session told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PHASES = ("resolve", "connect", "open", "first_frame", "end")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the reply to OPEN says of the server and of its choices."""

    server: str
    pod: str
    network: str
    decoder: str
    encoder: str
    slots: int = 0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One synthetic session.

    `code` is empty after a success, else why it failed: an error code of the service or one of the prober's own, with
    `message` for a person. `phases` holds seconds by the names of `PHASES`, those that were begun; `latencies` those
    from the sending of each packet to its frame; `certificate_expires` is in seconds since 1970.
    """

    code: str = ""
    message: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    frames_sent: int = 0
    frames_out: int = 0
    frames_dropped: Mapping[str, int] = field(default_factory=dict)
    latencies: tuple[float, ...] = ()
    info: ServerInfo | None = None
    certificate_expires: float | None = None
    finished_at: float = 0.0

    @property
    def success(self) -> bool:
        """Whether every frame came back as it should."""
        return not self.code
