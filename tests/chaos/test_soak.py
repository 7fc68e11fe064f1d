"""Many short sessions, well and badly ended: what the server holds does not grow with their number.

`SOAK_SESSIONS` says how many (10000 is the long form); `SOAK_REPORT` names a file for the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import pytest
from process_tree import Holdings, holdings, wait_until
from raw_client import RawStream, follow
from stamped_clips import RECIPES, UNCHANGED, stamped_clip

from segtriton_protocol import Cancel, Packets
from segtriton_server.launch import LaunchSettings, TritonProcess

SESSIONS = int(os.environ.get("SOAK_SESSIONS", "160"))
REPORT = os.environ.get("SOAK_REPORT", "")
LOOKS = 16
CLIP = stamped_clip(RECIPES[1]).head(13)
MIB = 1 << 20
# In a short run memory still settles; in a long one its slope shows.
LONG_SECONDS = 600
MOST_GROWTH_PER_HOUR = 0.01

pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(scope="module")
def soaked(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    with TritonProcess(server_settings(workers=2, stream_slots=64)) as running:
        yield running


def churn(server: TritonProcess, number: int) -> None:
    with RawStream(server.grpc_address) as stream:
        opened = stream.open(CLIP, UNCHANGED)
        match number % 4:
            case 0 | 1:
                assert len(follow(stream, CLIP, opened).packets) == len(CLIP.packets)
            case 2:
                stream.send(Packets(opened.session_id, CLIP.packets[:6]))
                stream.send(Cancel(opened.session_id))
            case 3:
                stream.send(Packets(opened.session_id, CLIP.packets[:6]))
                stream.cancel()


def test_what_is_held_does_not_grow(
    soaked: TritonProcess, read_metrics: Callable[[TritonProcess], dict[str, float]]
) -> None:
    looks: list[tuple[float, Holdings]] = []
    with ThreadPoolExecutor(4) as pool:
        for look in range(LOOKS):
            # Each look sees sessions of all kinds.
            numbers = range(SESSIONS * look // LOOKS, SESSIONS * (look + 1) // LOOKS)
            list(pool.map(lambda number: churn(soaked, number), numbers))
            assert wait_until(lambda: read_metrics(soaked)["segtriton_active_streams"] == 0)
            time.sleep(1.5)  # after a beat of the workers, which then give memory back
            looks.append((time.monotonic(), holdings(soaked.pid)))

    # The first half warms up.
    times, held = zip(*looks[LOOKS // 2 :], strict=True)
    first, last = held[0], held[-1]
    assert last.files <= first.files + 4
    assert last.model_threads <= first.model_threads + 2
    assert last.threads <= first.threads + 16  # gRPC's pool comes and goes
    assert last.shared_memory_entries <= first.shared_memory_entries + 1
    slope, start = statistics.linear_regression(times, [look.resident_bytes for look in held])
    growth_per_hour = 3600 * slope / (start + slope * times[0])
    if times[-1] - times[0] > LONG_SECONDS:
        assert growth_per_hour < MOST_GROWTH_PER_HOUR
    else:
        assert last.resident_bytes - first.resident_bytes < 40 * MIB
    if REPORT:
        figures = {"sessions": SESSIONS, "growth of memory per hour": round(growth_per_hour, 4)}
        Path(REPORT).write_text(json.dumps({**figures, "held": [astuple(look) for look in held]}) + "\n")
