"""Sessions that stream a clip again and again, and the latencies that they see."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from segtriton_client.demuxer import Demuxer
from segtriton_client.session import GROUP_PACKETS, StreamSession
from segtriton_client.transport import Endpoint, GrpcTransport
from segtriton_protocol import Ended, OutputSpec, Packet, VideoFormat


@dataclass(frozen=True)
class Recording:
    """A clip's packets, to be sent again and again; `length` is how long it lasts, in its time base."""

    video: VideoFormat
    packets: Sequence[Packet]
    length: int

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Read a clip; raises the client's InputError."""
        with Demuxer(path) as demuxer:
            packets = [packet for packet in demuxer if isinstance(packet, Packet)]
            stamps = [packet.pts for packet in packets if packet.pts is not None]
            step = max((packet.duration for packet in packets), default=0) or 1
            length = max(stamps, default=0) - min(stamps, default=0) + step
            return cls(demuxer.format, packets, length)

    def __iter__(self) -> Iterator[Packet]:
        """Give packets without end, with numbers and timestamps that go on."""
        for turn in count():
            for number, packet in enumerate(self.packets):
                later = turn * self.length
                yield replace(
                    packet,
                    seq=turn * len(self.packets) + number,
                    pts=None if packet.pts is None else packet.pts + later,
                    dts=None if packet.dts is None else packet.dts + later,
                )


class EndlessSession:
    """One client: a session of its own over a connection of its own, at the clip's pace if it is live.

    Attributes:
        opened: set once the server has opened it.
        latencies: seconds from the sending of each packet to its frame.
    """

    def __init__(
        self, endpoint: Endpoint, recording: Recording, network: str, output: OutputSpec, *, live: bool = True
    ) -> None:
        self.opened = asyncio.Event()
        self.latencies: array[float] = array("d")
        self._endpoint = endpoint
        self._recording = recording
        self._network = network
        self._output = output
        self._live = live

    async def run(self, until: asyncio.Event) -> Ended:
        """Stream until told to end, and return the server's verified account; raises what ends the session before."""
        mode = "live" if self._live else "file"
        async with GrpcTransport(self._endpoint) as transport:
            session = StreamSession(transport, self._recording.video, self._output, network=self._network, mode=mode)
            async with session:
                self.latencies = session.ledger.latencies
                self.opened.set()
                sending = asyncio.create_task(self._send(session, until))
                try:
                    async for _ in session:
                        pass
                    await sending
                finally:
                    sending.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await sending
                assert session.ended is not None, "the iteration ends with it"
                return session.ended

    async def _send(self, session: StreamSession, until: asyncio.Event) -> None:
        begun = time.monotonic()
        for group in self._groups():
            if until.is_set():
                break
            if self._live:
                due = begun + self._seconds_of(group[0])
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await session.send(group)
        await session.end()

    def _groups(self) -> Iterator[list[Packet]]:
        packets = iter(self._recording)
        size = 1 if self._live else GROUP_PACKETS
        while True:
            yield list(islice(packets, size))

    def _seconds_of(self, packet: Packet) -> float:
        """Return when a packet is due after the first one."""
        first = self._recording.packets[0]
        stamp, start = (packet.dts, first.dts) if first.dts is not None else (packet.pts, first.pts)
        return float((stamp or 0) - (start or 0)) * float(self._recording.video.time_base)
