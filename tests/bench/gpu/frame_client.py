"""One client that sends raw frames in batches, without streaming; started by `load.py` like `load_client.py`.

python tests/bench/gpu/frame_client.py ENDPOINT CLIP NETWORK EFFECT grpc|shared-memory
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.utils.shared_memory as shm
from gpu_clips import open_clip
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from segtriton_client.transport import GrpcTransport
from segtriton_protocol.tensors import INPUT_RGB, OUTPUT_RGB

BATCH_SIZE = 8
IN_FLIGHT = 2
REQUEST_SECONDS = 60.0

Frames = NDArray[np.uint8]
Ask = Callable[[], Awaitable[Frames]]


@contextlib.asynccontextmanager
async def ask_over_grpc(endpoint: str, network: str, effect: str, batch: Frames) -> AsyncIterator[Ask]:
    """Frames in the messages, as the client's package sends them."""
    async with GrpcTransport(endpoint) as transport:

        async def ask() -> Frames:
            answer = await transport.infer(network, {"effect": effect}, {INPUT_RGB.name: batch}, REQUEST_SECONDS)
            return np.asarray(answer[OUTPUT_RGB.name], np.uint8)

        yield ask


@contextlib.asynccontextmanager
async def ask_in_shared_memory(endpoint: str, network: str, effect: str, batch: Frames) -> AsyncIterator[Ask]:
    """Frames and composites in shared memory, a region for each request on its way; messages only name them."""
    idle: list[tuple[str, Any]] = []
    async with InferenceServerClient(endpoint) as client:
        for number in range(IN_FLIGHT):
            name = f"segtriton-bench-{os.getpid()}-{number}"
            idle.append((name, shm.create_shared_memory_region(name, f"/{name}", 2 * batch.nbytes)))
            await client.register_system_shared_memory(name, f"/{name}", 2 * batch.nbytes)
        regions = list(idle)

        async def ask() -> Frames:
            name, handle = idle.pop()
            shm.set_shared_memory_region(handle, [batch])
            frames = InferInput(INPUT_RGB.name, list(batch.shape), "UINT8")
            composites = InferRequestedOutput(OUTPUT_RGB.name)
            frames.set_shared_memory(name, batch.nbytes)
            composites.set_shared_memory(name, batch.nbytes, batch.nbytes)
            await client.infer(network, [frames], outputs=[composites], parameters={"effect": effect})
            idle.append((name, handle))
            answer: Frames = shm.get_contents_as_numpy(handle, np.uint8, list(batch.shape), batch.nbytes)
            return answer

        try:
            yield ask
        finally:
            for name, handle in regions:
                with contextlib.suppress(InferenceServerException):  # for a moment Triton still uses the last one
                    await client.unregister_system_shared_memory(name)
                shm.destroy_shared_memory_region(handle)


WAYS = {"grpc": ask_over_grpc, "shared-memory": ask_in_shared_memory}


async def run_load(ask: Ask, batch: Frames) -> dict[str, Any]:
    """Keep a couple of requests on their way until the line comes."""
    times: list[float] = []
    latencies: list[float] = []
    stop = asyncio.Event()

    async def repeat() -> None:
        while not stop.is_set():
            sent = time.monotonic()
            assert (await ask()).shape == batch.shape
            times.append(time.monotonic())
            latencies.append((times[-1] - sent) * 1e3)

    print("open", flush=True)
    used, started = _cpu_seconds(), time.monotonic()
    work = [asyncio.ensure_future(repeat()) for _ in range(IN_FLIGHT)]
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


async def run(endpoint: str, network: str, effect: str, way: str, batch: Frames) -> dict[str, Any]:
    """Connect, and do the work."""
    async with WAYS[way](endpoint, network, effect, batch) as ask:
        return await run_load(ask, batch)


def main() -> None:
    """The command."""
    endpoint, clip, network, effect, way = sys.argv[1:]
    batch = open_clip(Path(clip)).rgb(BATCH_SIZE)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(run(endpoint, network, effect, way, batch))))


if __name__ == "__main__":
    main()
