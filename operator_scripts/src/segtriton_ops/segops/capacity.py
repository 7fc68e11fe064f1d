"""`segops capacity`: how many live sessions one pod carries, found by adding one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import click
import yaml

from segtriton_client import ClientError
from segtriton_client.cli_options import endpoint_options, make_endpoint
from segtriton_client.endless_session import EndlessSession, Recording
from segtriton_client.transport import Endpoint
from segtriton_client.unfinished_file import check_writable, write_file
from segtriton_ops.segops.context import Operation, pass_operation
from segtriton_ops.segops.output import Output, table
from segtriton_protocol import EFFECTS, ENCODERS, Ended, OutputSpec, SegtritonError

_OPEN_SECONDS = 15.0
_P95 = 94


@dataclass(frozen=True, slots=True)
class Step:
    """So many sessions, and the latency that they had; `verdict` is empty if the pod carries them."""

    sessions: int
    p95_ms: float | None
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Ramp:
    """How sessions are added: up to `most`, each number held for `hold` seconds, until the p95 is over `limit`."""

    most: int
    hold: float
    limit: float


@click.command()
@endpoint_options
@click.argument("clip", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--network", default="selfie", show_default=True)
@click.option("--effect", type=click.Choice(EFFECTS), default="blur", show_default=True)
@click.option("--encoder", type=click.Choice(ENCODERS), default="auto", show_default=True)
@click.option("--limit", type=click.FloatRange(0), default=0.1, show_default=True, help="Seconds that p95 may reach.")
@click.option("--hold", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds for each number.")
@click.option("--most", type=click.IntRange(1), default=64, show_default=True, help="Sessions at which to stop.")
@click.option("-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="Write the chart's values there.")
@pass_operation
def capacity(operation: Operation, /, clip: Path, file: Path | None, **options: Any) -> None:
    """Stream CLIP to one pod in more and more live sessions until they are late, and tell what it carries.

    The endpoint must lead to one idle pod alone: `kubectl port-forward pod/NAME 8001`, or its address.
    """
    endpoint = make_endpoint(options)
    output = OutputSpec(effect=options["effect"], encoder=options["encoder"])
    ramp = Ramp(options["most"], options["hold"], options["limit"])
    if operation.settings.dry_run:
        plan = {"endpoint": endpoint.target, **asdict(ramp), "dry_run": True}
        operation.output.finish(plan, f"{endpoint.target} would get up to {ramp.most} sessions of {clip} (dry run).")
        return
    try:
        if file:
            check_writable(file)  # before the minutes that the steps take
        recording = Recording.read(clip)
        make = _maker(endpoint, recording, options["network"], output)
        steps = asyncio.run(climb(make, ramp, operation.output))
        finish(operation.output, steps, file)
    except (ClientError, SegtritonError) as error:
        raise click.ClickException(str(error)) from None


def finish(output: Output, steps: list[Step], file: Path | None) -> None:
    """Tell the result and write the values.

    Raises:
        click.ClickException: not even one session is carried.
        OutputError: the values cannot be written.
    """
    carried = max((step.sessions for step in steps if not step.verdict), default=0)
    values = {"load": {"capacityPerPod": carried}}
    if carried and file:
        write_file(file, yaml.safe_dump(values).encode())
    rows = [(step.sessions, step.p95_ms, step.verdict or "ok") for step in steps]
    text = table(("SESSIONS", "P95 MS", ""), rows)
    output.finish({"capacity": carried, "steps": [asdict(step) for step in steps], "values": values}, text)
    if not carried:
        raise click.ClickException("the pod does not carry one session in time; see its log, or raise --limit.")
    output.tell(f"a pod carries {carried}: --set load.capacityPerPod={carried}")


async def climb(make: Callable[[], EndlessSession], ramp: Ramp, output: Output) -> list[Step]:
    """Add sessions one by one until the pod is late or refuses; returns what each number of them gave."""
    sessions: list[EndlessSession] = []
    running: list[asyncio.Task[Ended]] = []
    steps: list[Step] = []
    never = asyncio.Event()
    try:
        while len(sessions) < ramp.most and not (steps and steps[-1].verdict):
            session = make()
            sessions.append(session)
            running.append(asyncio.create_task(session.run(never)))
            steps.append(await measure(sessions, running, ramp))
            output.tell(f"{steps[-1].sessions} sessions: p95 {steps[-1].p95_ms} ms {steps[-1].verdict}".rstrip())
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return steps


async def measure(sessions: list[EndlessSession], running: list[asyncio.Task[Ended]], ramp: Ramp) -> Step:
    """Let the sessions run and judge them by what they all saw meanwhile."""
    opening = asyncio.create_task(sessions[-1].opened.wait())
    await asyncio.wait({opening, *running}, timeout=_OPEN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    opening.cancel()
    marks = [len(session.latencies) for session in sessions]
    if sessions[-1].opened.is_set():
        await asyncio.wait(running, timeout=ramp.hold, return_when=asyncio.FIRST_COMPLETED)
    for task in running:
        if task.done():
            return Step(len(sessions), None, _why(task))
    if not sessions[-1].opened.is_set():
        return Step(len(sessions), None, "not opened in time")
    seen = [value for session, mark in zip(sessions, marks, strict=True) for value in session.latencies[mark:]]
    if len(seen) < 2:
        return Step(len(sessions), None, "no frame came back")
    p95 = quantiles(seen, n=100, method="inclusive")[_P95]
    return Step(len(sessions), round(1000 * p95, 1), "late" if p95 > ramp.limit else "")


def _why(task: asyncio.Task[Ended]) -> str:
    """Return why a session ended; only what the service says is a result, all else is raised."""
    error = task.exception()
    if isinstance(error, SegtritonError):
        return f"refused: {error.code.name}"
    if error is not None:
        raise error
    return "ended"


def _maker(endpoint: Endpoint, recording: Recording, network: str, output: OutputSpec) -> Callable[[], EndlessSession]:
    return lambda: EndlessSession(endpoint, recording, network, output)
