"""A server and its clients in a network of their own, which is cut: packets vanish, and nobody says so.

Run by `unshare --net`, so that no other network is touched; prints what was seen as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raw_client import read_clip
from servers import metrics_of, on_free_ports

from segtriton_client import ClientError, Endpoint, GrpcTransport, StreamSession
from segtriton_client.resuming import ResumingSession
from segtriton_protocol import Output
from segtriton_server.launch import TritonProcess

CLIP = read_clip("carphone_pristine.mp4")
HALF = len(CLIP.packets) // 2
# Far beyond the keepalive's: nothing else is to notice.
PATIENCE = 600.0
LONGEST_SECONDS = 120.0


class Network:
    """The loopback of this namespace, as far as gRPC uses it."""

    def __init__(self, port: int) -> None:
        self._rules = [["INPUT", "-p", "tcp", side, str(port), "-j", "DROP"] for side in ("--dport", "--sport")]

    def cut(self) -> None:
        for rule in self._rules:
            subprocess.run(["iptables", "-A", *rule], check=True)

    def mend(self) -> None:
        for rule in self._rules:
            subprocess.run(["iptables", "-D", *rule], check=True)


async def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return condition()


async def listen(target: Endpoint, num_packets: int, answered: asyncio.Event) -> str:
    """Have some packets answered, then wait for what does not come; returns what the client says in the end."""
    async with GrpcTransport(target) as transport:
        options: dict[str, Any] = {"open_seconds": PATIENCE, "progress_seconds": PATIENCE}
        async with StreamSession(transport, CLIP.format, mode="live", **options) as session:
            await session.send(CLIP.packets[:num_packets])
            try:
                async for _ in session:
                    answered.set()
            except ClientError as error:
                return type(error).__name__
    return "the end"


async def watch(server: TritonProcess, network: Network, target: Endpoint) -> dict[str, Any]:
    """Both sides of two sessions whose network is cut, with nothing under way."""
    answered = [asyncio.Event(), asyncio.Event()]
    clients = [asyncio.ensure_future(listen(target, 8, event)) for event in answered]
    for event in answered:
        await event.wait()
    await asyncio.sleep(1)
    network.cut()
    since = time.monotonic()
    said = await asyncio.wait_for(asyncio.gather(*clients), LONGEST_SECONDS)
    client_seconds = time.monotonic() - since
    noticed = await until(lambda: metrics_of(server)["segtriton_active_streams"] == 0)
    server_seconds = time.monotonic() - since
    network.mend()
    return {
        "clients say": said,
        "clients' seconds": round(client_seconds, 1),
        "server noticed": noticed,
        "server's seconds": round(server_seconds, 1),
        "server says": {name: count for name, count in metrics_of(server).items() if "failed" in name and count},
    }


async def go_on(network: Network, target: Endpoint) -> dict[str, Any]:
    """A run whose network is cut in the middle and mended a little later."""
    seqs: list[int] = []

    async def send(session: ResumingSession) -> None:
        for packet in CLIP.packets:
            await session.send([packet])
        await session.end()

    async def mend_later() -> None:
        await asyncio.sleep(5)
        network.mend()

    async with ResumingSession(lambda: GrpcTransport(target), CLIP.format, progress_seconds=3.0) as session:
        tasks = [asyncio.ensure_future(send(session))]
        async for output in session:
            assert isinstance(output, Output)
            seqs += [packet.seq for packet in output.packets]
            if len(seqs) >= HALF and len(tasks) == 1:
                network.cut()
                tasks.append(asyncio.ensure_future(mend_later()))
        await asyncio.gather(*tasks)
    return {"whole": sorted(seqs) == list(range(len(CLIP.packets))), "resumes": session.resumes}


def main(log: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    settings = on_free_ports(log, workers=1, idle_timeout=PATIENCE)
    with TritonProcess(settings) as server:
        network = Network(server.settings.grpc_port)
        target = Endpoint(server.grpc_address)
        seen = asyncio.run(watch(server, network, target))
        sys.stdout.write(json.dumps({**seen, "a run goes on": asyncio.run(go_on(network, target))}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
