"""One client that sends raw frames in batches, without streaming; started by `load.py` like `load_client.py`.

python tests/bench/gpu/frame_client.py ENDPOINT CLIP NETWORK EFFECT
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from gpu_clips import open_clip
from numpy.typing import NDArray

from segtriton_client.transport import GrpcTransport
from segtriton_protocol.tensors import INPUT_RGB, OUTPUT_RGB

BATCH_SIZE = 8
IN_FLIGHT = 2
REQUEST_SECONDS = 60.0


async def run_load(endpoint: str, network: str, effect: str, batch: NDArray[np.uint8]) -> dict[str, Any]:
    """Keep a couple of requests on their way until the line comes."""
    times: list[float] = []
    latencies: list[float] = []
    stop = asyncio.Event()

    async def ask(transport: GrpcTransport) -> None:
        while not stop.is_set():
            sent = time.monotonic()
            answer = await transport.infer(network, {"effect": effect}, {INPUT_RGB.name: batch}, REQUEST_SECONDS)
            assert answer[OUTPUT_RGB.name].shape == batch.shape
            times.append(time.monotonic())
            latencies.append((times[-1] - sent) * 1e3)

    async with GrpcTransport(endpoint) as transport:
        print("open", flush=True)
        used, started = _cpu_seconds(), time.monotonic()
        work = [asyncio.ensure_future(ask(transport)) for _ in range(IN_FLIGHT)]
        line = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await asyncio.wait({line, *work}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        cores = (_cpu_seconds() - used) / (time.monotonic() - started)
        await asyncio.gather(*work)
        begin, end = map(float, (await line).split())
    counted = [begin <= at < end for at in times]
    session = {
        "frames": sum(counted) * len(batch),
        "latencies_ms": [value for value, counts in zip(latencies, counted, strict=True) if counts],
        "frames_in": len(times) * len(batch),
        "frames_out": len(times) * len(batch),
    }
    return {"cores": cores, "sessions": [session]}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """The command."""
    endpoint, clip, network, effect = sys.argv[1:]
    batch = open_clip(Path(clip)).rgb(BATCH_SIZE)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(run_load(endpoint, network, effect, batch))))


if __name__ == "__main__":
    main()
