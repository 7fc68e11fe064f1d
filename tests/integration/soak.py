"""Many short sessions, well and badly ended, and what is held after so many of them.

`SOAK_SESSIONS` says how many (10000 is the long form); `SOAK_REPORT` names a file for the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from process_tree import Holdings
from raw_client import Clip, RawStream, follow

from segtriton_protocol import Cancel, OutputSpec, Packets

REPORT = os.environ.get("SOAK_REPORT", "")
_LOOKS = 16
_CLIENTS = 4
_REST_SECONDS = 1.5  # after a beat of the workers, which then give memory back
# In a short run memory still settles; in a long one its slope shows.
_LONG_SECONDS = 600
_MOST_GROWTH_PER_HOUR = 0.01
# Between sessions, what the pools of two workers on a GPU hold differed by up to 150 of 5,100 MiB from look to look.
_SETTLED_BYTES, _SETTLED_SHARE = 40 << 20, 0.04


@dataclass(frozen=True)
class Look:
    """What was held at a moment without sessions; `device_bytes` is what all processes have of a GPU's memory."""

    seconds: float
    held: Holdings
    device_bytes: int = 0


def churn(stream: RawStream, clip: Clip, output: OutputSpec, number: int) -> None:
    """A session that ends by itself, is cancelled by a message, or is left by its client."""
    opened = stream.open(clip, output)
    match number % 4:
        case 0 | 1:
            assert len(follow(stream, clip, opened).packets) == len(clip.packets)
        case 2:
            stream.send(Packets(opened.session_id, clip.packets[:6]))
            stream.send(Cancel(opened.session_id))
        case 3:
            stream.send(Packets(opened.session_id, clip.packets[:6]))
            stream.cancel()


def soak(
    run_session: Callable[[int], None], wait_idle: Callable[[], None], look: Callable[[], Look], sessions: int
) -> list[Look]:
    """Run so many sessions, several at once; the looks of the second half, as the first warms up.

    `run_session` takes the session's number; `SOAK_SESSIONS` goes before `sessions`.
    """
    sessions = int(os.environ.get("SOAK_SESSIONS", sessions))
    looks = []
    with ThreadPoolExecutor(_CLIENTS) as pool:
        for part in range(_LOOKS):
            # Each look sees sessions of all kinds.
            numbers = range(sessions * part // _LOOKS, sessions * (part + 1) // _LOOKS)
            list(pool.map(run_session, numbers))
            wait_idle()
            time.sleep(_REST_SECONDS)
            looks.append(look())
    if REPORT:
        Path(REPORT).write_text(json.dumps([asdict(look) for look in looks]) + "\n")
    return looks[_LOOKS // 2 :]


def check_holdings(looks: list[Look]) -> None:
    """Nothing but memory grows at all; memory, see `check_memory`."""
    first, last = looks[0].held, looks[-1].held
    # A GPU's decoders have three files each, and some of them are closed between sessions.
    earlier, later = (
        [look.held.files for look in half] for half in (looks[: len(looks) // 2], looks[len(looks) // 2 :])
    )
    assert statistics.median(later) <= max(earlier) + 4
    assert last.model_threads <= first.model_threads + 2
    assert last.threads <= first.threads + 16  # gRPC's pool comes and goes
    assert last.shared_memory_entries <= first.shared_memory_entries + 1
    check_memory(looks, lambda look: look.held.resident_bytes)


def check_memory(looks: list[Look], bytes_of: Callable[[Look], int]) -> None:
    """Memory has no slope in a long run, and has settled in a short one."""
    times, sizes = [look.seconds for look in looks], [bytes_of(look) for look in looks]
    if times[-1] - times[0] > _LONG_SECONDS:
        slope, start = statistics.linear_regression(times, sizes)
        assert 3600 * slope / (start + slope * times[0]) < _MOST_GROWTH_PER_HOUR
    else:
        # Single looks differ by what happens to be pooled just then.
        earlier, later = statistics.median(sizes[: len(sizes) // 2]), statistics.median(sizes[len(sizes) // 2 :])
        assert later - earlier < max(_SETTLED_BYTES, _SETTLED_SHARE * earlier)
