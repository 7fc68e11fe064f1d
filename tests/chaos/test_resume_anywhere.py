"""Servers die at random places of a run: what the client writes is the unfaulted run, frame by frame.

Bare masks are compared, as they are coded without loss: each must be, to the bit, what a run without faults gave. The
clips have B-frames, and open groups, whose first pictures need the group before. `RESUME_RUNS` and `RESUME_KILLS` say
how many runs and how many kills in each; `CHAOS_SEED` where the seeds begin.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import pytest
from process_tree import wait_until
from raw_client import CLIPS, Clip, code_clip
from servers import start_together

from segtriton_client.resuming import ResumingSession
from segtriton_client.transport import GrpcTransport
from segtriton_protocol import Framing, OutputSpec, VideoFormat
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.launch.errors import ServerExitedError

RUNS = int(os.environ.get("RESUME_RUNS", "3"))
KILLS = int(os.environ.get("RESUME_KILLS", "5"))
FIRST_SEED = int(os.environ.get("CHAOS_SEED", "1"))
REPORT = os.environ.get("RESUME_REPORT", "")
MASKS = OutputSpec(encoder="mask")
FRAMES, GOP = 400, 24
RESUME_SECONDS: list[float] = []
ReadMetrics = Callable[[TritonProcess], dict[str, float]]

pytestmark = pytest.mark.timeout(600)


# The pictures after a keyframe of an open group that are shown before it need what was before it.
CODERS = {
    "H.264": ("libx264", "h264", {"preset": "veryfast", "x264-params": "scenecut=0"}),
    "H.264 with open groups": ("libx264", "h264", {"preset": "veryfast", "x264-params": "scenecut=0:open-gop=1"}),
    "HEVC with open groups": (
        "libx265",
        "hevc",
        {"preset": "ultrafast", "x265-params": f"log-level=none:scenecut=0:open-gop=1:keyint={GOP}:bframes=3"},
    ),
}


@cache
def film(coder: str) -> Clip:
    """No two masks are the same; groups of pictures have B-frames."""
    library, codec, options = CODERS[coder]
    encoder = av.CodecContext.create(library, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 176, 144, "yuv420p", Fraction(1, 25)
    encoder.gop_size, encoder.max_b_frames = GOP, 3
    encoder.options = options
    video = VideoFormat(codec, 176, 144, encoder.time_base, Framing.ANNEX_B)
    return code_clip(encoder, video, to_and_fro(encoder.time_base), duration=1)


def to_and_fro(time_base: Fraction) -> Iterator[av.VideoFrame]:
    """A person who moves; a jump back would be a cut."""
    with av.open(str(CLIPS / "carphone_pristine.mp4")) as container:
        pictures = list(container.decode(video=0))
    for number in range(FRAMES):
        place = number % (2 * len(pictures) - 2)
        picture = pictures[min(place, 2 * len(pictures) - 2 - place)].reformat(format="yuv420p")
        copy = av.VideoFrame.from_ndarray(picture.to_ndarray(), "yuv420p")
        copy.pts, copy.time_base = number, time_base
        yield copy


@dataclass(frozen=True)
class Shown:
    """One frame of a run's output."""

    seq: int
    pts: int | None
    mask: bytes


class Pair:
    """Two servers; connections go to the first. When it is killed the other takes its place, and a new one follows."""

    def __init__(self, settings: Callable[..., LaunchSettings]) -> None:
        # A small window: what is on its way when a server dies is little, so that many can die in one run.
        self._make = lambda: TritonProcess(settings(workers=1, window_packets=16))
        self._servers = [self._make() for _ in range(2)]
        self._starting = ThreadPoolExecutor()

    @property
    def current(self) -> TritonProcess:
        return self._servers[0]

    def start(self) -> None:
        start_together(self._servers)

    @property
    def is_whole(self) -> bool:
        return len(self._servers) == 2

    def kill(self) -> None:
        """End the server in use with SIGKILL, and all its workers."""
        dead = self._servers.pop(0)
        dead.kill()
        self._starting.submit(self._replace, dead)

    def swap(self) -> None:
        """Send connections to the other server, and leave this one alone."""
        self._servers.reverse()

    def stop(self) -> None:
        self._starting.shutdown()
        for server in self._servers:
            server.stop()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[GrpcTransport]:
        while not self._servers:
            await asyncio.sleep(0.05)
        async with GrpcTransport(self.current.grpc_address) as transport:
            yield transport

    def _replace(self, dead: TritonProcess) -> None:
        dead.stop()
        fresh = self._start()
        self._servers.append(fresh)

    def _start(self, attempts: int = 3) -> TritonProcess:
        """Start a server: on a very busy machine, Triton 24.10 may abort while it loads."""
        fresh = self._make()
        try:
            fresh.start()
            fresh.wait_ready()
        except ServerExitedError:
            fresh.stop()
            if attempts <= 1:
                raise
            return self._start(attempts - 1)
        return fresh


@pytest.fixture(scope="module")
def pair(server_settings: Callable[..., LaunchSettings]) -> Iterator[Pair]:
    pair = Pair(server_settings)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()
    if REPORT:
        Path(REPORT).write_text(json.dumps(figures()) + "\n")


def figures() -> dict[str, float]:
    return {
        "resumes": len(RESUME_SECONDS),
        "seconds from a lost server to the next frame, median": round(statistics.median(RESUME_SECONDS), 2),
        "the longest": round(max(RESUME_SECONDS), 2),
    }


def run(pair: Pair, clip: Clip, at: dict[int, Callable[[], None]], **options: float) -> tuple[list[Shown], int]:
    """Stream a clip; when so many frames are back, something happens. Returns the output and how often it resumed."""
    return asyncio.run(_run(pair, clip, dict(sorted(at.items())), options))


async def _run(
    pair: Pair, clip: Clip, at: dict[int, Callable[[], None]], options: dict[str, float]
) -> tuple[list[Shown], int]:
    shown: list[Shown] = []
    lost_at: float | None = None
    happened = 0
    async with ResumingSession(pair.connect, clip.format, MASKS, **options) as session:
        sending = asyncio.ensure_future(_send(session, clip))
        try:
            async for output in session:
                assert not output.drops
                if lost_at is not None and session.resumes >= happened:
                    RESUME_SECONDS.append(time.monotonic() - lost_at)
                    lost_at = None
                shown += [Shown(packet.seq, packet.pts, packet.payload) for packet in output.packets]
                place = next(iter(at), FRAMES + 1)
                # What follows a kill may have been on its way before it: the next one waits for the next session.
                if place <= len(shown) and session.resumes == happened:
                    at.pop(place)()
                    happened += 1
                    lost_at = time.monotonic()
            await sending
        finally:
            sending.cancel()
    return shown, session.resumes


async def _send(session: ResumingSession, clip: Clip) -> None:
    for packet in clip.packets:
        await session.send([packet])
    await session.end()


@pytest.fixture(scope="module")
def unfaulted(pair: Pair) -> Callable[[str], list[Shown]]:
    @cache
    def shown(coder: str) -> list[Shown]:
        frames, resumes = run(pair, film(coder), {})
        assert resumes == 0
        assert [frame.pts for frame in frames] == list(range(FRAMES))
        # Were they all alike, their being the same would show nothing.
        assert len({frame.mask for frame in frames}) > FRAMES // 4
        return frames

    return shown


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_a_run_over_many_dying_servers_is_the_unfaulted_run(
    seed: int, pair: Pair, unfaulted: Callable[[str], list[Shown]]
) -> None:
    coder = list(CODERS)[seed % len(CODERS)]
    expected = unfaulted(coder)
    places = random.Random(seed).sample(range(1, FRAMES - 100), KILLS)

    shown, resumes = run(pair, film(coder), dict.fromkeys(places, pair.kill))

    assert shown == expected
    assert resumes == KILLS


def test_a_server_that_wakes_up_cannot_write_into_a_session_that_has_gone_on(
    pair: Pair, unfaulted: Callable[[str], list[Shown]], read_metrics: ReadMetrics
) -> None:
    expected = unfaulted("H.264")
    assert wait_until(lambda: pair.is_whole, 60)
    stale = pair.current
    frames_of_stale = 'segtriton_frames_total{outcome="out"}'
    before: list[float] = []

    def freeze() -> None:
        before.append(read_metrics(stale)[frames_of_stale])
        os.killpg(stale.pid, signal.SIGSTOP)
        pair.swap()

    def wake() -> None:
        os.killpg(stale.pid, signal.SIGCONT)

    try:
        # It is woken while its successor still has half of the frames before it.
        shown, resumes = run(pair, film("H.264"), {60: freeze, 120: wake}, progress_seconds=5.0)
    finally:
        os.killpg(stale.pid, signal.SIGCONT)

    assert shown == expected
    assert resumes == 1
    # It went on for a while, and nobody listened: its session ended as one whose client is gone.
    assert wait_until(lambda: has_no_session(stale, read_metrics))
    if stale.poll() is None:
        assert read_metrics(stale)[frames_of_stale] >= before[0]
        assert read_metrics(stale)['segtriton_sessions_failed_total{code="CANCELLED"}'] >= 1


def has_no_session(server: TritonProcess, read_metrics: ReadMetrics) -> bool:
    """Triton 24.10 may crash of requests that were cancelled while it stood still: then it has none either."""
    try:
        return read_metrics(server)["segtriton_active_streams"] == 0
    except OSError:
        return server.poll() is not None
