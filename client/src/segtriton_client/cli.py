"""The command `segclient`: options in, exit codes and one-line errors out."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from segtriton_client.cli_options import ColorType, choose_outputs, endpoint_options, make_endpoint
from segtriton_client.contact_sheet import write_contact_sheet
from segtriton_client.errors import ClientError, InputError, OutputError
from segtriton_client.frames import segment_frames
from segtriton_client.image_files import ImageFiles
from segtriton_client.progress_bar import ProgressBar
from segtriton_client.report import Report
from segtriton_client.segmentation import Job, segment_video
from segtriton_client.transport import Endpoint, GrpcTransport
from segtriton_protocol import EFFECTS, ENCODERS, X264_PRESETS, OutputSpec, SegtritonError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_DROPPED = 4
EXIT_INTERRUPTED = 130

_DEFAULT_COMMAND = "segment"
_VERSION = "0.1.0"
_ENVIRONMENT = {"auto_envvar_prefix": "SEGCLIENT"}  # SEGCLIENT_ENDPOINT, not SEGCLIENT_SEGMENT_ENDPOINT


class DefaultGroup(click.Group):
    """A group that takes its arguments for `segment` unless they name another command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command first where none is named."""
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "--version")):
            args = [_DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultGroup, context_settings={"help_option_names": ["--help"]})
@click.version_option(_VERSION, prog_name="segclient")
def segclient() -> None:
    """Segment people in videos and images on a segtriton server.

    `segclient [OPTIONS] INPUT...` is short for `segclient segment [OPTIONS] INPUT...`.
    """


@dataclass(frozen=True, slots=True)
class _Run:
    """What every input of one command shares."""

    endpoint: Endpoint
    streams: bool
    told_warnings: set[str] = field(default_factory=set)


@segclient.command(context_settings=_ENVIRONMENT)
@endpoint_options
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[INPUT]...")
@click.option("-i", "--input", "inputs", multiple=True, type=click.Path(path_type=Path), help="Input; may be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Output file, or folder for several inputs.")
@click.option("-sv", "--stream-video", is_flag=True, help="Stream packets; without it frames are sent in batches.")
@click.option("-b", "--batch-size", type=click.IntRange(1, 32), default=4, show_default=True, help="Frames a request.")
@click.option("-c", "--class-name", default="", help="What to find  [default: the network's own].")
@click.option("--effect", type=click.Choice(EFFECTS), default="blur", show_default=True)
@click.option("--strength", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of blur or overlay.")
@click.option("--color", type=ColorType(), default="0,177,64", show_default=True, help="R,G,B or #rrggbb.")
@click.option("--network", default="selfie", show_default=True)
@click.option("--encoder", type=click.Choice(ENCODERS), default="auto", show_default=True)
@click.option("--preset", type=click.Choice(X264_PRESETS), default="superfast", show_default=True)
@click.option("--crf", type=click.IntRange(0, 51), default=23, show_default=True)
@click.option("--live", is_flag=True, help="Send packets at the speed of the clip, as a camera would; needs -sv.")
@click.option("--strict", is_flag=True, help="End at the first damaged frame, with exit code 3.")
@click.option("--deinterlace/--no-deinterlace", default=True, show_default=True, help="Of interlaced pictures.")
@click.option(
    "--resume-seconds",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="How long to look for another server when one goes away; 0 gives up at once.",
)
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write what was done as JSON.")
@click.option("--overwrite/--no-overwrite", default=True, show_default=True, help="Replace an output that exists.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning", show_default=True
)
def segment(paths: tuple[Path, ...], inputs: tuple[Path, ...], **options: Any) -> None:
    """Segment videos, images and folders of images."""
    logging.basicConfig(level=options.pop("log_level").upper(), format="%(levelname)s %(name)s: %(message)s")
    run = _Run(make_endpoint(options), options["stream_video"])
    if options["live"] and not run.streams:
        raise click.UsageError("--live needs -sv.")
    jobs = _make_jobs([*paths, *inputs], options)
    reports, codes = [], []
    for job in jobs:
        report, code = _do(run, job, may_fail=len(jobs) > 1)
        codes.append(code)
        if report is not None:
            reports.append(report.to_json())
    if options["report"] is not None:
        _write_report(options["report"], reports[0] if len(jobs) == 1 and reports else reports)
    _exit(codes)


@segclient.command(context_settings=_ENVIRONMENT)
@click.argument("videos", nargs=3, type=click.Path(path_type=Path), metavar="INPUT MASK OUTPUT")
@click.option("-o", "--output", "picture", type=click.Path(path_type=Path), default="contact_sheet.png")
def sheet(videos: tuple[Path, ...], picture: Path) -> None:
    """Write a contact sheet: a few frames of the input, the mask and the output."""
    if picture.suffix.lower() != ".png":
        raise click.UsageError("The contact sheet must end in .png.")
    write_contact_sheet(videos, picture)
    click.echo(str(picture))


@segclient.command(context_settings=_ENVIRONMENT)
@endpoint_options
def models(**options: Any) -> None:
    """List the models that are ready on the server."""

    async def ask(endpoint: Endpoint) -> list[str]:
        async with GrpcTransport(endpoint) as transport:
            await transport.check_live()
            return await transport.ready_models()

    for name in asyncio.run(ask(make_endpoint(options))):
        click.echo(name)


def main() -> None:
    """Run `segclient` and exit with its code."""
    try:
        code = segclient.main(prog_name="segclient", standalone_mode=False)
    except click.ClickException as error:
        _complain(f"{error.format_message()} See segclient segment --help.")
        sys.exit(EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort, asyncio.CancelledError):
        _complain("interrupted; nothing was kept.")
        sys.exit(EXIT_INTERRUPTED)
    except (ClientError, SegtritonError) as error:
        sys.exit(_fail(error))
    sys.exit(code if isinstance(code, int) else 0)


def _make_jobs(inputs: list[Path], options: dict[str, Any]) -> list[Job]:
    if not inputs:
        raise click.UsageError("Name at least one video, image or folder of images.")
    spec = OutputSpec(
        effect=options["effect"],
        class_name=options["class_name"],
        strength=options["strength"],
        color_rgb=options["color"],
        encoder=options["encoder"],
        preset=options["preset"],
        crf=options["crf"],
        deinterlace=options["deinterlace"],
    )
    word = "mask" if spec.encoder == "mask" else spec.effect
    outputs = choose_outputs(inputs, options["output"], word)
    for source, target in zip(inputs, outputs, strict=True):
        _check_output(source, target, options["overwrite"])
    return [
        Job(
            source,
            target,
            spec,
            options["network"],
            options["live"],
            options["batch_size"],
            resume_seconds=options["resume_seconds"],
            strict=options["strict"],
        )
        for source, target in zip(inputs, outputs, strict=True)
    ]


def _check_output(source: Path, target: Path, overwrite: bool) -> None:
    if target.exists() and source.exists() and target.samefile(source):
        raise click.UsageError(f"The output {target} is the input itself.")
    if target.exists() and not overwrite:
        raise click.UsageError(f"{target} exists; choose another with -o or give --overwrite.")
    if source.is_dir() or target.is_dir():
        return
    if not target.parent.is_dir() and ImageFiles.accepts(source) is False:
        target.parent.mkdir(parents=True, exist_ok=True)


def _do(run: _Run, job: Job, may_fail: bool) -> tuple[Report | None, int]:
    """Do one job; with several a failure is told and the next goes on."""
    bar = ProgressBar(job.input.name)
    shown = dataclasses.replace(job, on_progress=bar.update)
    work = segment_video if run.streams else segment_frames
    try:
        report = asyncio.run(_cancellable(work(run.endpoint, shown)))
    except (ClientError, SegtritonError) as error:
        bar.clear()
        if not may_fail:
            raise
        return None, _fail(error, job.input)
    finally:
        bar.clear()
    _warn(run, report)
    click.echo(_summarize(job, report), err=True)
    return report, EXIT_DROPPED if report.lost_frames else 0


async def _cancellable(work: Any) -> Report:
    """Let SIGTERM cancel the work as Ctrl-C does, so that nothing half-written stays."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    report: Report = await task
    return report


def _warn(run: _Run, report: Report) -> None:
    """Tell each of the service's warnings once a command."""
    for warning in report.warnings:
        if warning not in run.told_warnings:
            run.told_warnings.add(warning)
            click.echo(f"segclient: warning: {' '.join(warning.split())}", err=True)


def _summarize(job: Job, report: Report) -> str:
    lost = f", {report.lost_frames} dropped" if report.lost_frames else ""
    return (
        f"{job.output}: {report.frames_out} frames{lost} in {report.seconds:.1f} s, "
        f"{report.frames_per_second:.0f} fps, {report.encoder}"
    )


def _write_report(path: Path, content: Any) -> None:
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror}.", "Choose another --report.") from None


def _fail(error: ClientError | SegtritonError, source: Path | None = None) -> int:
    """Tell what failed and return the exit code."""
    if isinstance(error, SegtritonError):
        text = f"{error.message} {error.code.advice} ({error.code.name})"
    else:
        text = str(error)
    _complain(f"{source}: {text}" if source else text)
    return EXIT_INPUT if isinstance(error, InputError) else EXIT_FAILED


def _complain(text: str) -> None:
    click.echo(f"segclient: error: {' '.join(text.split())}", err=True)


def _exit(codes: list[int]) -> None:
    """Exit with the first failure's code, else with that of dropped frames."""
    failures = [code for code in codes if code not in (0, EXIT_DROPPED)]
    code = (failures or [max(codes)])[0]
    if code:
        click.get_current_context().exit(code)
