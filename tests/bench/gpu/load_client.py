"""Several streamed sessions in one process, as the client's package runs them, but outputs are counted and not kept.

Packets are read once and sent again and again; each turn begins with a key frame. Started by `load.py`:

    python tests/bench/gpu/load_client.py JSON      (the fields of `Plan`)

It says "ready", opens its sessions when it gets a line, says "open", and sends until it gets the line "FROM TO", the
part of the monotonic clock that counts; then it ends its sessions, checks them and prints what they were.
"""

import asyncio
import contextlib
import itertools
import json
import resource
import sys
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from segtriton_client.demuxer import Demuxer
from segtriton_client.resuming import ResumingSession
from segtriton_client.transport import GrpcTransport
from segtriton_protocol import OutputSpec, Packet, VideoFormat
from segtriton_protocol.json_fields import JsonFields

OPEN_SECONDS = 60.0
GROUP_PACKETS = 8


@dataclass(frozen=True)
class Plan:
    """What one process does.

    Attributes:
        output: as `OutputSpec` has it on the wire.
        starts: for each session after how many seconds it begins to send, so that live ones do not beat in time.
    """

    endpoint: str
    clip: str
    network: str
    output: dict[str, Any]
    mode: str
    starts: tuple[float, ...]


@dataclass(frozen=True)
class Source:
    """A clip's packets in memory."""

    video: VideoFormat
    packets: tuple[Packet, ...]

    @property
    def frame_rate(self) -> Fraction:
        """Frames a second."""
        return self.video.frame_rate or Fraction(30)

    def endless(self) -> Iterator[Packet]:
        """Give the packets turn after turn, as one stream."""
        ticks = round(len(self.packets) / self.frame_rate / self.video.time_base)
        for turn in itertools.count():
            shift = turn * ticks
            for packet in self.packets:
                seq = turn * len(self.packets) + packet.seq
                pts = None if packet.pts is None else packet.pts + shift
                dts = None if packet.dts is None else packet.dts + shift
                yield replace(packet, seq=seq, pts=pts, dts=dts)


def read_source(path: Path) -> Source:
    """Demux a file whole."""
    with Demuxer(path) as demuxer:
        return Source(demuxer.format, tuple(packet for packet in demuxer if isinstance(packet, Packet)))


class LoadSession:
    """One session, and when its outputs came."""

    def __init__(self, session: ResumingSession, source: Source) -> None:
        self.session = session
        self._source = source
        self._times = array("d")

    async def send(self, start: float, is_live: bool, stop: asyncio.Event) -> None:
        """Send until it is enough, as fast as credit allows or in real time."""
        await asyncio.sleep(start)
        packets = self._source.endless()
        if is_live:
            await self._send_live(packets, stop)
        else:
            while not stop.is_set():
                await self.session.send(list(itertools.islice(packets, GROUP_PACKETS)))
        await self.session.end()

    async def receive(self) -> None:
        """Count outputs until the session is complete."""
        async for output in self.session:
            self._times.extend([time.monotonic()] * len(output.packets))

    def result(self, begin: float, end: float) -> dict[str, Any]:
        """What it was; frames and latencies are those of the part that counts."""
        opened, ended = self.session.opened, self.session.ended
        assert ended is not None, "the iteration ends with ENDED"
        times = np.asarray(self._times)
        counted = (times >= begin) & (times < end)
        return {
            "frames": int(counted.sum()),
            "latencies_ms": (np.asarray(self.session.latencies)[counted] * 1e3).round(2).tolist(),
            "frames_in": ended.frames_in,
            "frames_out": ended.frames_out,
            "dropped": {reason: count for reason, count in ended.frames_dropped.items() if count},
            "stages": dict(ended.stages),
            "decoder": opened.decoder,
            "encoder": opened.encoder,
            "codec": opened.output_codec,
            "warnings": list(opened.warnings),
        }

    async def _send_live(self, packets: Iterator[Packet], stop: asyncio.Event) -> None:
        started = time.monotonic()
        for number, packet in enumerate(packets):
            await asyncio.sleep(started + float(number / self._source.frame_rate) - time.monotonic())
            if stop.is_set():
                return
            await self.session.send([packet])


async def run_load(plan: Plan, source: Source) -> dict[str, Any]:
    """Open all sessions, keep them busy until the line comes, end them."""
    async with contextlib.AsyncExitStack() as stack:
        sessions = await asyncio.gather(*(_open(stack, plan, source) for _ in plan.starts))
        print("open", flush=True)
        used, started, stop = _cpu_seconds(), time.monotonic(), asyncio.Event()
        work = [
            asyncio.ensure_future(part)
            for session, start in zip(sessions, plan.starts, strict=True)
            for part in (session.send(start, plan.mode == "live", stop), session.receive())
        ]
        begin, end = await _until_told(work)
        cores = (_cpu_seconds() - used) / (time.monotonic() - started)
        stop.set()
        await asyncio.gather(*work)
        return {"cores": cores, "sessions": [session.result(begin, end) for session in sessions]}


async def _open(stack: contextlib.AsyncExitStack, plan: Plan, source: Source) -> LoadSession:
    session = ResumingSession(
        lambda: GrpcTransport(plan.endpoint),
        source.video,
        OutputSpec.from_json(JsonFields(plan.output, "output")),
        network=plan.network,
        mode=plan.mode,
        resume_seconds=0,
        open_seconds=OPEN_SECONDS,
    )
    return LoadSession(await stack.enter_async_context(session), source)


async def _until_told(work: list[asyncio.Future[None]]) -> tuple[float, float]:
    """Wait for the line; raises what ended a session meanwhile."""
    line = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.wait({line, *work}, return_when=asyncio.FIRST_COMPLETED)
    for part in work:
        if part.done():
            part.result()
    begin, end = (await line).split()
    return float(begin), float(end)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """The command."""
    fields = json.loads(sys.argv[1])
    plan = Plan(**{**fields, "starts": tuple(fields["starts"])})
    source = read_source(Path(plan.clip))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(run_load(plan, source))))


if __name__ == "__main__":
    main()
