"""One session that gives back very much, and what each process holds meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from process_tree import descendants, resident_bytes

from segtriton_client import GrpcTransport, StreamSession
from segtriton_protocol import Output, OutputSpec, Packet, VideoFormat

LOOKS = 20


@dataclass
class LongSession:
    """What came back, and the resident bytes of each process whenever another twentieth of the frames had."""

    frames: int = 0
    output_bytes: int = 0
    looks: list[dict[str, int]] = field(default_factory=list)

    def growth(self) -> dict[str, int]:
        """How much more each process held at most, in bytes, after a tenth of the output than it held then."""
        begun = self.looks[LOOKS // 10 - 1]
        return {role: max(look[role] for look in self.looks[LOOKS // 10 :]) - begun[role] for role in begun}


async def run_long_session(
    endpoint: str, video: VideoFormat, output: OutputSpec, packets: Iterator[Packet], frames: int, group: int, pid: int
) -> LongSession:
    """Stream so many packets, so many a message, read all at once; counts and digest are verified.

    `pid` is the server's.
    """
    result = LongSession()
    async with GrpcTransport(endpoint) as transport, StreamSession(transport, video, output) as session:
        sending = asyncio.create_task(_send(session, islice(packets, frames), group))
        async for event in session:
            assert isinstance(event, Output)
            result.frames += len(event.packets)
            result.output_bytes += sum(len(packet.payload) for packet in event.packets)
            if result.frames * LOOKS >= frames * (len(result.looks) + 1):
                result.looks.append(resident_by_role(pid))
        await sending
    return result


async def _send(session: StreamSession, packets: Iterator[Packet], group: int) -> None:
    while some := list(islice(packets, group)):
        await session.send(some)
    await session.end()


def resident_by_role(server_pid: int) -> dict[str, int]:
    """Resident bytes of Triton, the router, the frames model, each worker, and this client."""
    held = {"client": resident_bytes(os.getpid())}
    for pid in descendants(server_pid):
        role = _role(Path(f"/proc/{pid}/cmdline").read_bytes())
        if role == "worker":
            role = f"worker {pid}"
        held[role] = resident_bytes(pid)
    return held


_ROLES = {b"worker_process": "worker", b"_streaming/": "router", b"python_backend_stub": "frames"}


def _role(command: bytes) -> str:
    if b"--model-repository" in command:
        return "triton"
    return next((role for words, role in _ROLES.items() if words in command), "other")
