"""How much a session may have in the house: packets and bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segtriton_protocol import Credit, ErrorCode, SegtritonError
from segtriton_server.sessions.ledger import Ledger


@dataclass(frozen=True, slots=True)
class CreditWindow:
    """The bound on packets and bytes that are received and not yet settled.

    `group_packets` tells how many packets the client should put into a message.
    """

    packets: int
    payload_bytes: int
    group_packets: Callable[[], int] = lambda: 1

    def credit(self, ledger: Ledger) -> Credit:
        """The cumulative credit that the ledger's state gives."""
        return Credit(
            ledger.settled_packets + self.packets, ledger.settled_bytes + self.payload_bytes, self.group_packets()
        )

    def check(self, ledger: Ledger, seq: int, size: int) -> None:
        """Raise WINDOW_EXCEEDED if the packet with this number and size was sent without credit."""
        packets = ledger.received_packets + 1
        payload_bytes = ledger.received_bytes + size
        if packets > ledger.settled_packets + self.packets or payload_bytes > ledger.settled_bytes + self.payload_bytes:
            credit = self.credit(ledger)
            raise SegtritonError(
                ErrorCode.WINDOW_EXCEEDED,
                f"{packets} packets with {payload_bytes} bytes were sent against a credit of "
                f"{credit.packets} packets and {credit.payload_bytes} bytes.",
                seq=seq,
            )
