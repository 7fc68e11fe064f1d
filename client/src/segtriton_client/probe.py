"""One short session, streamed as a camera would, with every frame checked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from segtriton_client.errors import (
    ClientError,
)
from segtriton_client.frame_check import WrongPictureError, check_frames
from segtriton_client.numbered_clip import Clip
from segtriton_client.probe_result import ProbeResult, ServerInfo
from segtriton_client.session import StreamSession
from segtriton_client.transport import GrpcTransport
from segtriton_protocol import Opened, Output, OutputSpec, Packet, SegtritonError

# Faint, so that the numbers stay readable whatever the network takes for a person; `mask` would leave no picture.
OUTPUT = OutputSpec(effect="overlay", strength=0.25)
UNAVAILABLE = "UNAVAILABLE"
TIMEOUT = "TIMEOUT"
WRONG_PICTURE = "WRONG_PICTURE"
PROBER = "PROBER"


@dataclass
class Record:
    """What is known of a session while it runs; a session that hangs leaves what it had reached."""

    phases: dict[str, float] = field(default_factory=dict)
    packets: list[Packet] = field(default_factory=list)
    frames_sent: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    latencies: tuple[float, ...] = ()
    info: ServerInfo | None = None
    begun_at: float = field(default_factory=time.monotonic)
    end_sent_at: float = 0.0
    running: str = ""
    _phase_began: float = 0.0

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a phase, also one that fails."""
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def begin(self, name: str) -> None:
        """End the phase that runs, and begin another."""
        self.end()
        self.running, self._phase_began = name, time.monotonic()

    def end(self) -> None:
        """End the phase that runs, if one does."""
        if self.running:
            self.phases[self.running] = time.monotonic() - self._phase_began
        self.running = ""

    def finish(self, code: str = "", message: str = "") -> ProbeResult:
        """Return the result of this moment."""
        running = {self.running: time.monotonic() - self._phase_began} if self.running else {}
        return ProbeResult(
            code=code,
            message=message,
            phases={**self.phases, **running},
            seconds=time.monotonic() - self.begun_at,
            frames_sent=self.frames_sent,
            frames_out=len(self.packets),
            frames_dropped=dict(self.dropped),
            latencies=self.latencies,
            info=self.info,
            finished_at=time.time(),
        )


async def probe(transport: GrpcTransport, clip: Clip, network: str, record: Record) -> ProbeResult:
    """Stream a clip through a session and return what became of it; waits as long as the session does."""
    try:
        with record.phase("connect"):
            await transport.connect()
        await _stream(transport, clip, network, record)
    except SegtritonError as error:
        return record.finish(error.code.name, error.message)
    except ClientError as error:
        return record.finish(error.code, str(error))
    except WrongPictureError as error:
        return record.finish(WRONG_PICTURE, str(error))
    return record.finish()


async def _stream(transport: GrpcTransport, clip: Clip, network: str, record: Record) -> None:
    session = StreamSession(transport, clip.video, OUTPUT, network=network, mode="live")
    async with contextlib.AsyncExitStack() as stack:
        with record.phase("open"):
            await stack.enter_async_context(session)
        record.info = _describe(session.opened)
        try:
            await _follow(session, clip, record)
        finally:
            record.latencies = tuple(session.ledger.latencies)
    opened = session.opened
    if record.dropped:
        raise WrongPictureError(f"{record.dropped.total()} of {len(clip.packets)} frames were dropped.")
    check_frames(clip.packets, record.packets, opened.output_codec, opened.output_extradata)


async def _follow(session: StreamSession, clip: Clip, record: Record) -> None:
    record.begin("first_frame")
    sending = asyncio.create_task(_send(session, clip, record))
    try:
        async for event in session:
            if isinstance(event, Output):
                if event.packets and not record.packets:
                    record.begin("end")
                record.packets += event.packets
                record.dropped.update(drop.reason.value for drop in event.drops)
        await sending
        record.end()
        record.phases["end"] = time.monotonic() - record.end_sent_at
    finally:
        sending.cancel()


async def _send(session: StreamSession, clip: Clip, record: Record) -> None:
    """Send packets at the clip's own pace, then END."""
    begun = time.monotonic()
    first = clip.packets[0].pts or 0
    for packet in clip.packets:
        due = begun + float(((packet.pts or 0) - first) * clip.video.time_base)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await session.send([packet])
        record.frames_sent += 1
    record.end_sent_at = time.monotonic()
    await session.end()


def _describe(opened: Opened) -> ServerInfo:
    return ServerInfo(
        server=opened.server,
        pod=opened.pod,
        network=opened.network,
        decoder=opened.decoder,
        encoder=opened.encoder,
        slots=opened.limits.get("stream_slots", 0),
    )
