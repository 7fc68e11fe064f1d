"""`segclient bench`: what a service does with more and more sessions at once."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import click

from segtriton_client.bench_report import as_text, write_report
from segtriton_client.cli_options import endpoint_options, make_endpoint
from segtriton_client.config_file import config_option
from segtriton_client.endless_session import EndlessSession, Recording
from segtriton_client.errors import NoProgressError
from segtriton_client.output_checks import check_places
from segtriton_client.transport import Endpoint
from segtriton_client.unfinished_file import check_writable, write_file
from segtriton_protocol import EFFECTS, ENCODERS, X264_PRESETS, Ended, OutputSpec

_OPEN_SECONDS = 30.0
_PERCENTILES = {"p50": 49, "p95": 94, "p99": 98}


class CountsType(click.ParamType[tuple[int, ...]]):
    """Numbers of sessions as 1,2,4."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            counts = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            counts = ()
        if not counts or min(counts) < 1:
            self.fail(f"{value!r} is no list of positive numbers, such as 1,2,4.", param, ctx)
        return counts


@dataclass(frozen=True, slots=True)
class Point:
    """What so many sessions together did.

    Attributes:
        stages: the mean time of a frame in each, in milliseconds.
        client_busy: which part of the time the one thread worked that sends and receives for all sessions, 0 to 1.
    """

    sessions: int
    frames_per_second: float
    latency_ms: dict[str, float]
    dropped: int
    stages: dict[str, float] = field(default_factory=dict)
    client_busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """What each session streams, and for how many seconds."""

    endpoint: Endpoint
    recording: Recording
    network: str
    output: OutputSpec
    live: bool
    seconds: float


@click.command(context_settings={"auto_envvar_prefix": "SEGCLIENT"})
@config_option
@endpoint_options
@click.argument("clip", type=click.Path(readable=False, path_type=Path))
@click.option("--sessions", type=CountsType(), default="1,2,4", show_default=True, help="Sessions at once, in turn.")
@click.option("--seconds", type=click.FloatRange(0.5), default=10.0, show_default=True, help="For each number.")
@click.option("--live", is_flag=True, help="At the clip's pace; otherwise as fast as the service takes it.")
@click.option("--network", default="selfie", show_default=True)
@click.option("--effect", type=click.Choice(EFFECTS), default="blur", show_default=True)
@click.option("--encoder", type=click.Choice(ENCODERS), default="auto", show_default=True)
@click.option("--preset", type=click.Choice(X264_PRESETS), default="superfast", show_default=True)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, readable=False, path_type=Path),
    help="Write the figures there.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, readable=False, path_type=Path),
    help="Write a page with charts.",
)
def bench(
    clip: Path, sessions: tuple[int, ...], json_file: Path | None, html_file: Path | None, **options: Any
) -> None:
    """Stream CLIP again and again in several sessions at once, and tell throughput, latency and stages.

    The column "client %" is how much of the time this command itself worked: near 100 it is the limit, not the service.
    """
    endpoint = make_endpoint(options)
    coding = {name: options[name] for name in ("encoder", "preset")}
    output = OutputSpec(effect=options["effect"], **coding)
    files = [path for path in (json_file, html_file) if path is not None]
    check_places([clip], files)
    for path in files:
        check_writable(path)
    recording = Recording.read(clip)
    work = Work(endpoint, recording, options["network"], output, options["live"], options["seconds"])
    points = asyncio.run(measure_all(work, sessions))
    click.echo(as_text(points))
    conditions = {"date": time.strftime("%Y-%m-%d %H:%M"), "server": endpoint.target, **conditions_of(clip, work)}
    if json_file:
        figures = {"conditions": conditions, "points": [asdict(one) for one in points]}
        write_file(json_file, json.dumps(figures, indent=2).encode() + b"\n")
    if html_file:
        write_file(html_file, write_report(points, conditions).encode())


async def measure_all(work: Work, counts: Sequence[int]) -> list[Point]:
    """Measure each number of sessions in turn; tells a person which one runs."""
    points = []
    for count in counts:
        if sys.stderr.isatty():
            click.echo(f"{count} sessions for {work.seconds:g} s", err=True)
        points.append(await measure(work, count))
    return points


async def measure(work: Work, count: int) -> Point:
    """Let so many sessions run and add up what they did; raises what ended the first that failed.

    Frames count from when all are open to when the time is over, latencies likewise.
    """
    until = asyncio.Event()
    sessions = [
        EndlessSession(work.endpoint, work.recording, work.network, work.output, live=work.live) for _ in range(count)
    ]
    running = [asyncio.create_task(session.run(until)) for session in sessions]
    try:
        for session in sessions:
            await _race(session.opened.wait(), running, _OPEN_SECONDS)
        begun, marks = time.monotonic(), [len(session.latencies) for session in sessions]
        worked = time.thread_time()
        await _race(asyncio.sleep(work.seconds), running, work.seconds + _OPEN_SECONDS)
        lasted, worked = time.monotonic() - begun, time.thread_time() - worked
        seen = [value for one, mark in zip(sessions, marks, strict=True) for value in one.latencies[mark:]]
        until.set()
        ends = await asyncio.gather(*running)
    finally:
        until.set()  # a cancellation can get lost: before Python 3.12, in a wait_for that is over at the same time
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    speed, busy = round(len(seen) / lasted, 2), round(worked / lasted, 3)
    return Point(count, speed, percentiles(seen), dropped(ends), stage_means(ends), busy)


async def _race(what: Coroutine[Any, Any, object], running: Sequence[asyncio.Task[Ended]], seconds: float) -> None:
    """Wait for something; raises the error of a session that ends first, or NoProgressError."""
    waiting = asyncio.create_task(what)
    done, _ = await asyncio.wait({waiting, *running}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in running:
        if task.done():
            task.result()
    if not done:
        raise NoProgressError(f"The service did not open all sessions within {seconds:g} s.")


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles in milliseconds; 0 where too few frames came back to tell."""
    if len(seconds) < 2:
        return dict.fromkeys(_PERCENTILES, 0.0)
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {name: round(1000 * cuts[index], 2) for name, index in _PERCENTILES.items()}


def dropped(ends: Sequence[Ended]) -> int:
    """Return the drop records of all sessions."""
    return sum(sum(end.frames_dropped.values()) for end in ends)


def stage_means(ends: Sequence[Ended]) -> dict[str, float]:
    """Return the mean of each stage over all sessions."""
    names = dict.fromkeys(name for end in ends for name in end.stages)
    return {name: round(sum(end.stages.get(name, 0.0) for end in ends) / len(ends), 3) for name in names}


def conditions_of(clip: Path, work: Work) -> dict[str, str]:
    """Return under which conditions figures were measured."""
    video, output = work.recording.video, work.output
    rate = f" at {float(video.frame_rate):.3g} fps" if video.frame_rate else ""
    return {
        "clip": f"{click.format_filename(clip.name)}: {video.codec}, {video.width}x{video.height}{rate}",
        "way": "live, at the clip's pace" if work.live else "as fast as the service takes it",
        "output": f"{output.effect}, encoder {output.encoder}, preset {output.preset}, network {work.network}",
        "each number": f"{work.seconds:g} s",
    }
