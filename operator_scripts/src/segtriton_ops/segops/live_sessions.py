"""Live sessions that go on until they are stopped, and the latencies that they see."""

from __future__ import annotations

import asyncio
import contextlib
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from segtriton_client import Endpoint, GrpcTransport, StreamSession
from segtriton_client.demuxer import Demuxer
from segtriton_protocol import OutputSpec, Packet, VideoFormat


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


class LiveSession:
    """One camera: a session of its own over a connection of its own.

    Attributes:
        opened: set once the server has opened it.
        latencies: seconds from the sending of each packet to its frame.
    """

    def __init__(self, endpoint: Endpoint, recording: Recording, network: str, output: OutputSpec) -> None:
        self.opened = asyncio.Event()
        self.latencies: array[float] = array("d")
        self._endpoint = endpoint
        self._recording = recording
        self._network = network
        self._output = output

    async def run(self) -> None:
        """Stream at the clip's pace until cancelled; raises what ends the session."""
        async with GrpcTransport(self._endpoint) as transport:
            session = StreamSession(transport, self._recording.video, self._output, network=self._network, mode="live")
            async with session:
                self.latencies = session.ledger.latencies
                self.opened.set()
                sending = asyncio.create_task(self._send(session))
                try:
                    async for _ in session:
                        pass
                finally:
                    sending.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await sending

    async def _send(self, session: StreamSession) -> None:
        begun = time.monotonic()
        first: int | None = None
        for packet in self._recording:
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is not None:
                first = stamp if first is None else first
                due = begun + float((stamp - first) * self._recording.video.time_base)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await session.send([packet])
