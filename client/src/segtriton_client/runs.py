"""Several jobs of one command: what goes in, where results go, and how many run at once."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av.error
import click

from segtriton_client.errors import ClientError, StoppedError
from segtriton_client.file_kinds import exists, is_folder, is_stream
from segtriton_client.frames import segment_frames
from segtriton_client.image_files import ImageFiles, is_images
from segtriton_client.job import Job, Progress
from segtriton_client.progress_bar import ProgressBar
from segtriton_client.report import Report
from segtriton_client.segmentation import segment_video
from segtriton_client.sources import VIDEO_ENDINGS, Destination, Source, parse_destination, stem_of
from segtriton_client.standard_streams import say
from segtriton_client.still_images import written_suffix
from segtriton_client.system_errors import told_as_ours
from segtriton_client.transport import Endpoint
from segtriton_protocol import SegtritonError

_KEPT_ENDINGS = (".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".ts")
_MILLISECOND_ENDINGS = (".webm", ".mka")
_LAST_SECONDS = 4.0
EXIT_INTERRUPTED = 130


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its report, or why there is none and how many frames were answered until then."""

    job: Job
    report: Report | None = None
    error: ClientError | SegtritonError | None = None
    frames_done: int = 0


@dataclass(frozen=True)
class Run:
    """What every job of one command shares; `tell` is called with each outcome as it comes."""

    endpoint: Endpoint
    streams: bool
    tell: Callable[[Outcome], None]
    num_at_once: int = 1
    stopping: threading.Event = field(default_factory=threading.Event)


async def run_jobs(run: Run, jobs: Sequence[Job]) -> list[Outcome]:
    """Do the jobs; with several a failure is told and the others go on.

    Ctrl-C, SIGTERM or SIGHUP lets what is on its way come back and begins no other job; a second one cancels.
    """
    turn = asyncio.Semaphore(run.num_at_once)

    async def wait_and_do(job: Job) -> Outcome:
        async with turn:
            if run.stopping.is_set():
                return Outcome(job, error=StoppedError(f"{job.input} was not begun."))
            outcome = await _do(run, job)
            run.tell(outcome)
            return outcome

    task = asyncio.ensure_future(asyncio.gather(*map(wait_and_do, jobs)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, run, task)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, lambda *_: _hang_up(loop, run, task))
    return await task


def _hang_up(loop: asyncio.AbstractEventLoop, run: Run, task: asyncio.Future[Any]) -> None:
    """Stop, but only once: of a terminal that is closed both the kernel and the shell tell, the later maybe at the end.

    A handler of the loop's would go with the loop, and the process then with the signal.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not run.stopping.is_set() and not loop.is_closed():
        loop.call_soon_threadsafe(_stop, run, task)


def _stop(run: Run, task: asyncio.Future[Any]) -> None:
    if run.stopping.is_set():
        task.cancel()
        asyncio.get_running_loop().call_later(_LAST_SECONDS, _give_up)
        return
    run.stopping.set()
    say("segclient: stopping; what is on its way comes back first, once more ends at once.")


def _give_up() -> None:
    """End without waiting for a thread that reads from a source which gives nothing."""
    say("segclient: error: interrupted.")
    os._exit(EXIT_INTERRUPTED)


async def _do(run: Run, job: Job) -> Outcome:
    bar = ProgressBar(stem_of(job.input)) if run.num_at_once == 1 else None
    done = 0

    def note(progress: Progress) -> None:
        nonlocal done
        done = progress.frames_done
        if bar:
            bar.update(progress)

    noted = dataclasses.replace(job, on_progress=note, stopping=run.stopping)
    work = segment_video if run.streams and not _is_still_job(job) else segment_frames
    try:
        return Outcome(job, report=await work(run.endpoint, noted))
    except (ClientError, SegtritonError) as error:
        return Outcome(job, error=error, frames_done=done)
    except (OSError, av.error.FFmpegError) as error:  # of the disk, say, where no code has foreseen it
        return Outcome(job, error=told_as_ours(error, job.input), frames_done=done)
    finally:
        if bar:
            bar.clear()


def _is_still_job(job: Job) -> bool:
    """Tell whether an image is to become an image, which is no video to stream."""
    return is_images(job.input) and all(isinstance(out, Path) and ImageFiles.accepts(out) for out in job.outputs)


def choose_outputs(inputs: Sequence[Source], output: str | None, word: str, *, many: bool = False) -> list[Destination]:
    """Return where each input's result goes: `output`, inside it (always, for `many` results each), or beside it."""
    if output is None:
        return [_beside(source) / _default_name(source, word) for source in inputs]
    target = parse_destination(output)
    if len(inputs) == 1 and not many and not _is_folder(output, inputs[0]):
        return [target]
    if not isinstance(target, Path) or (not is_folder(target) and (exists(target) or _names_a_file(output))):
        raise click.UsageError(f"With several results -o must be a folder, and {target} is none.")
    return [target / _default_name(source, word) for source in inputs]


def _is_folder(output: str, source: Source) -> bool:
    """Tell whether a result goes into a folder; what is made of a folder of images is one itself."""
    is_images = isinstance(source, Path) and is_folder(source)
    return is_folder(Path(output)) or (output.endswith(("/", os.sep)) and not is_images)


def _names_a_file(output: str) -> bool:
    path = Path(output)
    is_file = path.suffix.lower() in (*VIDEO_ENDINGS, ".jsonl") or ImageFiles.accepts(path)
    return is_file and not output.endswith(("/", os.sep))


def _beside(source: Source) -> Path:
    return source.parent if isinstance(source, Path) and not is_stream(source) else Path()


def _default_name(source: Source, word: str) -> str:
    """Return NAME_WORD with an ending that can hold the result exactly."""
    stem = stem_of(source)
    if isinstance(source, Path) and is_folder(source):
        return f"{stem or 'images'}_{word}"
    if word == "cutout":
        return f"{stem}_{word}{'.png' if is_images(source) else '.webm'}"
    ending = source.suffix if isinstance(source, Path) else ""
    if is_images(source):
        return f"{stem}_{word}{written_suffix(ending)}"
    if ending.lower() in _KEPT_ENDINGS:
        return f"{stem}_{word}{ending}"
    return f"{stem}_{word}{'.mkv' if ending.lower() in _MILLISECOND_ENDINGS else '.mp4'}"
