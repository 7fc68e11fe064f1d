"""What a live client notices of others who break the rules: its rate and latency beside them, against those alone.

    python tests/bench/neighbours.py [--seconds N]

Alone and beside take turns. Offenders run in a process of their own, as their own work is not what is measured.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("integration", "fuzz", "fakes")]

from mutations import hostile_input  # noqa: E402
from raw_client import Clip, RawStream, follow, read_clip  # noqa: E402
from servers import metrics_of, on_free_ports  # noqa: E402
from table import Row, Target, render  # noqa: E402

from segtriton_client import StreamSession  # noqa: E402
from segtriton_client.transport import GrpcTransport  # noqa: E402
from segtriton_protocol import Cancel, Output, Packets  # noqa: E402
from segtriton_server.launch import TritonProcess  # noqa: E402

FRAME_RATE = 25
STALLED = 64
ROUNDS = 3
SECTION = "Live 176x144 at 25 fps beside"
LEAST_RATE = Target(0.95, 1.0)
SMALL = read_clip("carphone_pristine.mp4")


def stall(address: str) -> None:
    """Twice as many readers as Triton has threads to answer with take nothing."""
    with ExitStack() as stack:
        for _ in range(STALLED):
            stream = stack.enter_context(RawStream(address, lazy=True))
            opened = stream.open(SMALL)
            stream.send(Packets(opened.session_id, SMALL.packets[: opened.credit.packets]))
        threading.Event().wait()


def flood(address: str) -> None:
    """One sends without credit, again and again; it is paced, as else its own sending would take a core."""
    packet = replace(SMALL.packets[0], payload=bytes(1 << 20))
    while True:
        with RawStream(address) as stream:
            opened = stream.open(SMALL)
            for seq in range(40):
                stream.send(Packets(opened.session_id, (replace(packet, seq=seq),)))
                time.sleep(0.02)


def hang_up(address: str) -> None:
    """Sessions are opened, cancelled or left, twenty a second."""
    for number in itertools.count():
        with RawStream(address) as stream:
            opened = stream.open(SMALL)
            stream.send(Packets(opened.session_id, SMALL.packets[:2]))
            if number % 2:
                stream.send(Cancel(opened.session_id))
            stream.cancel()
        time.sleep(0.05)


def send_garbage(address: str) -> None:
    """Hostile media, twenty a second."""
    for number in itertools.count():
        hostile = hostile_input(number)
        with suppress(Exception), RawStream(address) as stream:
            follow(stream, hostile.clip, stream.open(hostile.clip, hostile.output))
        time.sleep(0.05)


OFFENDERS: dict[str, Callable[[str], None]] = {
    f"{STALLED} stalled readers": stall,
    "a flood without credit": flood,
    "sessions left open": hang_up,
    "hostile media": send_garbage,
}


@contextmanager
def offender(act: Callable[[str], None], server: TritonProcess) -> Iterator[None]:
    """It has a moment to begin; what stalled readers have sent is worked off, as that is but their share."""
    process = multiprocessing.get_context("spawn").Process(target=act, args=(server.grpc_address,), daemon=True)
    process.start()
    time.sleep(4)
    while act is stall and is_busy(server):
        pass
    try:
        assert process.is_alive(), "the offender ended by itself"
        yield
    finally:
        process.kill()
        process.join()


def is_busy(server: TritonProcess) -> bool:
    """Whether frames come out."""
    name = 'segtriton_frames_total{outcome="out"}'
    before = metrics_of(server).get(name)
    time.sleep(1)
    return metrics_of(server).get(name) != before


async def live(address: str, clip: Clip, seconds: float) -> tuple[float, float]:
    """Stream frames at their time; returns frames a second that came back, and the 95th percentile of their latency."""
    sent: dict[int, float] = {}
    latencies: list[float] = []
    packets = list(itertools.islice(clip.packets, int(seconds * FRAME_RATE)))

    async def send(session: StreamSession) -> None:
        begin = time.monotonic()
        for number, packet in enumerate(packets):
            await asyncio.sleep(max(0.0, begin + number / FRAME_RATE - time.monotonic()))
            sent[packet.seq] = time.monotonic()
            await session.send([packet])
        await session.end()

    async with GrpcTransport(address) as transport, StreamSession(transport, clip.format, mode="live") as session:
        sending = asyncio.ensure_future(send(session))
        async for event in session:
            if isinstance(event, Output):
                latencies += [time.monotonic() - sent[packet.seq] for packet in event.packets]
        await sending
    elapsed = time.monotonic() - min(sent.values())
    return len(latencies) / elapsed, 1e3 * statistics.quantiles(latencies, n=20)[-1]


def measure(server: TritonProcess, seconds: float) -> list[Row]:
    """Rounds alone and beside each offender."""
    rows = []
    for name, act in OFFENDERS.items():
        alone, beside = [], []
        for _ in range(ROUNDS):
            alone.append(asyncio.run(live(server.grpc_address, SMALL, seconds)))
            with offender(act, server):
                beside.append(asyncio.run(live(server.grpc_address, SMALL, seconds)))
        (rate_alone, late_alone), (rate, late) = (
            [statistics.median(figures) for figures in zip(*runs, strict=True)] for runs in (alone, beside)
        )
        note = f"latency p95 {late_alone:.0f} -> {late:.0f} ms"
        rows.append(Row(SECTION, name, rate, "fps", rate / rate_alone, "alone", LEAST_RATE, note))
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.5, help="of film in each round, at most 3.5")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = on_free_ports(Path(folder) / "triton.log", stream_slots=STALLED + 16, window_packets=24)
        with TritonProcess(settings) as server:
            sys.stdout.write(render(measure(server, options.seconds)) + "\n")


if __name__ == "__main__":
    main()
