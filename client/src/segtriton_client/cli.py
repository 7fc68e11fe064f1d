"""The command `segclient`: options in, exit codes and one-line errors out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av.error
import click

from segtriton_client.bench import bench
from segtriton_client.cli_options import endpoint_options, make_endpoint
from segtriton_client.completion import completion
from segtriton_client.composed_outputs import LOCAL_ENDINGS
from segtriton_client.compositors import LOCAL_EFFECTS
from segtriton_client.config_file import config_of, config_option
from segtriton_client.contact_sheet import write_contact_sheet
from segtriton_client.doctor import doctor
from segtriton_client.errors import ClientError, InputError, OutputError, StoppedError
from segtriton_client.file_kinds import is_regular, is_stream
from segtriton_client.image_files import is_images
from segtriton_client.image_sequence import is_sequence
from segtriton_client.job import Composed, Job
from segtriton_client.option_sections import SectionedCommand
from segtriton_client.output_checks import check_places, check_report, is_there, prepare_outputs
from segtriton_client.report import Report
from segtriton_client.run_report import write_refusal, write_run_report
from segtriton_client.runs import EXIT_INTERRUPTED, Outcome, Run, choose_outputs, run_jobs
from segtriton_client.segment_options import EXAMPLES, segment_options
from segtriton_client.sources import STANDARD_STREAM, Destination, Source, expand, parse_source
from segtriton_client.standard_streams import flush_output, reserve_numbers, say
from segtriton_client.system_errors import told_as_ours
from segtriton_client.transport import Endpoint, GrpcTransport
from segtriton_client.unfinished_file import check_writable
from segtriton_protocol import EFFECTS, IMAGE_EFFECT, Described, MatteSpec, OutputSpec, SegtritonError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_DROPPED = 4

_DEFAULT_COMMAND = "segment"
_JOB_OPTIONS = (
    "network",
    "live",
    "batch_size",
    "resume_seconds",
    "strict",
    "max_latency",
    "duration",
    "reconnect_seconds",
)
_FILE_OPTIONS = ("background", "token_file", "ca_file", "cert_file", "key_file")
_VERSION = "0.1.0"
_ENVIRONMENT = {"auto_envvar_prefix": "SEGCLIENT"}  # SEGCLIENT_ENDPOINT, not SEGCLIENT_SEGMENT_ENDPOINT


class DefaultGroup(click.Group):
    """A group that takes its arguments for `segment` unless they name another command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command first where none is named, and take a file `-x.mp4` that is there for no option."""
        args = [
            f"./{arg}" if arg.startswith("-") and Path(arg).suffix and is_regular(Path(arg)) else arg for arg in args
        ]
        if not args and ctx.resilient_parsing:  # a shell asks which words may come first
            return super().parse_args(ctx, args)
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "--version")):
            args = [_DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultGroup, context_settings={"help_option_names": ["--help"]})
@click.version_option(_VERSION, prog_name="segclient")
def segclient() -> None:
    """Segment people in videos and images on a segtriton server.

    `segclient [OPTIONS] INPUT...` is short for `segclient segment [OPTIONS] INPUT...`.
    """


@segclient.command(cls=SectionedCommand, context_settings=_ENVIRONMENT, epilog=EXAMPLES)
@click.argument("paths", nargs=-1, metavar="[INPUT]...")
@segment_options
@config_option
@endpoint_options
def segment(paths: tuple[str, ...], inputs: tuple[str, ...], **options: Any) -> None:
    """Segment videos, images and folders of images.

    An INPUT is a file, a folder, a quoted pattern ('clips/*.mp4'), a URL (http, https, rtsp, rtmp, tcp, udp), a camera
    (v4l2:/dev/video0), numbered images (frame_%04d.png) or - for standard input.
    """
    logging.basicConfig(level=options.pop("log_level").upper(), format="%(levelname)s %(name)s: %(message)s")
    if options["live"] and not options["stream_video"]:
        raise click.UsageError("--live needs -sv.")
    if "" in (*paths, *inputs):
        raise click.UsageError("The name of an input is empty.")
    sources = [parse_source(text) for text in (*paths, *inputs)]
    if not options["stream_video"] and any(map(_is_read_once, sources)):
        raise click.UsageError("Standard input or a pipe can be read only once; it needs -sv.")
    others_read = [options[name] for name in _FILE_OPTIONS if options[name] is not None]
    others_read += config_of(click.get_current_context())
    endpoint = make_endpoint(options)
    if options["report"] is not None:
        check_report(sources, others_read, options["report"], streams=options["stream_video"])
    try:
        jobs = _make_jobs(sources, others_read, options)
    except ClientError as error:
        if options["report"] is not None:
            with contextlib.suppress(OutputError):  # which may be the error itself
                write_refusal(options["report"], error)
        raise
    teller = _Teller(len(jobs))
    outcomes = asyncio.run(run_jobs(Run(endpoint, options["stream_video"], teller.tell, options["jobs"]), jobs))
    if options["report"] is not None:
        write_run_report(options["report"], outcomes)
    _exit([_code_of(outcome) for outcome in outcomes])


@segclient.command(context_settings=_ENVIRONMENT)
@click.argument("videos", nargs=3, type=click.Path(readable=False, path_type=Path), metavar="INPUT MASK OUTPUT")
@click.option("-o", "--output", "picture", type=click.Path(readable=False, path_type=Path), default="contact_sheet.png")
def sheet(videos: tuple[Path, ...], picture: Path) -> None:
    """Write a contact sheet: a few frames of the input, the mask and the output."""
    if picture.suffix.lower() != ".png":
        raise click.UsageError("The contact sheet must end in .png.")
    if any(map(is_stream, videos)):
        raise click.UsageError("The videos are read twice; they must be files.")
    check_places(videos, [picture])
    check_writable(picture)
    write_contact_sheet(videos, picture)
    click.echo(click.format_filename(picture))


@segclient.command(context_settings=_ENVIRONMENT)
@config_option
@endpoint_options
@click.option("--network", default="", help="A network of the server that this client may not know.")
def models(network: str, **options: Any) -> None:
    """List the models that are ready on the server, with what their networks find and the licence of these."""

    async def ask(endpoint: Endpoint) -> dict[str, Described | None]:
        async with GrpcTransport(endpoint) as transport:
            await transport.check_live()
            ready = await transport.ready_models(network)
            return {name: await transport.describe(name) if name.endswith("_streaming") else None for name in ready}

    described = asyncio.run(ask(make_endpoint(options)))
    width = max(map(len, described), default=0)
    for name, said in described.items():
        facts = f"  {said.licence or 'no licence told'}: {', '.join(said.classes)}" if said else ""
        click.echo(f"{name:{width}}{facts}" if facts else name)


for command in (bench, completion, doctor):
    segclient.add_command(command)


def main() -> None:
    """Run `segclient` and exit with its code."""
    reserve_numbers()
    code = _run()
    try:
        flush_output()
    except OutputError as error:
        code = code or _fail(error)
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit code, with a line for what went wrong."""
    try:
        color = False if os.environ.get("NO_COLOR") else None
        code = segclient.main(prog_name="segclient", standalone_mode=False, color=color)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        _complain(f"{error.format_message()} See {context.command_path if context else 'segclient'} --help.")
        return EXIT_USAGE
    except (KeyboardInterrupt, click.Abort, asyncio.CancelledError):
        _complain(f"interrupted. {StoppedError.default_advice}")
        return EXIT_INTERRUPTED
    except (ClientError, SegtritonError) as error:
        return _fail(error)
    except (OSError, av.error.FFmpegError) as error:
        return _fail(told_as_ours(error))
    return code if isinstance(code, int) else 0


def _is_read_once(source: Source) -> bool:
    if isinstance(source, Path):
        return is_stream(source) and not is_images(source)
    return source == STANDARD_STREAM


def _make_jobs(sources: list[Source], others_read: list[Path], options: dict[str, Any]) -> list[Job]:
    if not sources:
        raise click.UsageError("Name at least one video, image or folder of images.")
    inputs = expand(sources, streams=options["stream_video"])
    effects = options["effect"] or ("blur",)
    spec = OutputSpec(
        effect=effects[0] if effects[0] in (*EFFECTS, IMAGE_EFFECT) else "mask",
        class_name=",".join(options["class_name"]),
        strength=options["strength"],
        color_rgb=options["color"],
        encoder=options["encoder"],
        preset=options["preset"],
        crf=options["crf"],
        deinterlace=options["deinterlace"],
        pixel_format=options["pix_fmt"],
        matte=_matte(options),
        despill=options["despill"],
    )
    words = effects if options["effect"] or spec.encoder != "mask" else ("mask",)
    outputs = [choose_outputs(inputs, options["output"], word, many=len(effects) > 1) for word in words]
    jobs = [
        _make_job(source, targets, words, spec, options)
        for source, *targets in zip(inputs, *outputs, strict=True)
        if not _is_left_out(targets, options)
    ]
    prepare_outputs(jobs, others_read, options["report"], overwrite=options["overwrite"])
    return jobs


def _make_job(
    source: Source, targets: Sequence[Destination], effects: Sequence[str], spec: OutputSpec, options: dict[str, Any]
) -> Job:
    shared = {name: options[name] for name in _JOB_OPTIONS}
    if composed := _compose(effects, targets, options):
        return Job(source, targets[0], spec, composed=composed, **shared)
    spec = replace(spec, more_effects=tuple(effects[1:]))
    background, others = options["background"], tuple(targets[1:])
    return Job(source, targets[0], spec, background=background, more_outputs=others, **shared)


def _matte(options: dict[str, Any]) -> MatteSpec:
    """Return what is asked for, and the defaults for what is not."""
    fields = {"smooth": "smoothing", "feather": "feather", "refine_edges": "edges", "mask_every": "mask_every"}
    fields["mirror"] = "mirror"
    asked = {field: options[name] for name, field in fields.items() if options[name] is not None}
    if asked and not options["stream_video"]:
        raise click.UsageError("--smooth, --feather, --refine-edges, --mask-every and --mirror need -sv.")
    return MatteSpec(inverted=options["invert"], **asked)


def _compose(effects: Sequence[str], targets: Sequence[Destination], options: dict[str, Any]) -> tuple[Composed, ...]:
    """Return what the client draws: nothing where the service can draw and code all."""
    background = options["background"]
    if ("image" in effects) != (background is not None):
        raise click.UsageError("--effect image and --background go together.")
    if background is not None and is_stream(background):
        raise click.UsageError("The background is read again and again; it must be a file.")
    endings = {target.suffix.lower() for target in targets if isinstance(target, Path)}
    asks_for_masks = options["encoder"] == "mask" and bool(options["effect"])
    needs_stream = len(effects) > 1 or IMAGE_EFFECT in effects
    is_local = set(effects) & set(LOCAL_EFFECTS) or (needs_stream and not options["stream_video"])
    is_doubled = len(set(effects)) < len(effects)
    are_images = len(effects) > 1 and any(isinstance(target, Path) and is_sequence(target) for target in targets)
    if not (is_local or is_doubled or are_images or endings & LOCAL_ENDINGS or asks_for_masks):
        return ()
    return tuple(
        Composed(effect, target, background if effect == "image" else None)
        for effect, target in zip(effects, targets, strict=True)
    )


def _is_left_out(targets: Sequence[Destination], options: dict[str, Any]) -> bool:
    if not (options["continue"] and all(map(is_there, targets))):
        return False
    say(f"{targets[0]}: done before")
    return True


class _Teller:
    """Tells how each job went, and each of the service's warnings once a command."""

    def __init__(self, num_jobs: int) -> None:
        self._num_jobs = num_jobs
        self._told_warnings: set[str] = set()

    def tell(self, outcome: Outcome) -> None:
        """Write the lines for one job."""
        if outcome.error is not None:
            _fail(outcome.error, outcome.job.input if self._num_jobs > 1 else None)
        if outcome.report is None:
            return
        for warning in outcome.report.warnings:
            if warning not in self._told_warnings:
                self._told_warnings.add(warning)
                say(f"segclient: warning: {warning}")
        for note in filter(None, (*outcome.report.notes, outcome.report.class_note)):
            say(f"segclient: note: {outcome.job.input}: {note}")
        say(_summarize(outcome.job, outcome.report))


def _code_of(outcome: Outcome) -> int:
    if isinstance(outcome.error, StoppedError):
        return EXIT_INTERRUPTED
    if outcome.error is not None:
        return EXIT_INPUT if isinstance(outcome.error, InputError) else EXIT_FAILED
    return 0 if outcome.report is None or outcome.report.is_complete else EXIT_DROPPED


def _summarize(job: Job, report: Report) -> str:
    lost = f", {report.lost_frames} dropped" if report.lost_frames else ""
    here = f", {' and '.join(report.drawn_here)} drawn here ({report.drawing_share:.0%} of the time)"
    return (
        f"{', '.join(map(str, job.outputs))}: {report.frames_out} frames{lost} in {report.seconds:.1f} s, "
        f"{report.frames_per_second:.0f} fps, {report.encoder}{here if report.drawn_here else ''}"
    )


def _fail(error: ClientError | SegtritonError, source: Source | None = None) -> int:
    """Tell what failed and return the exit code."""
    if isinstance(error, SegtritonError):
        text = f"{error.message} {error.code.advice} ({error.code.name})"
    else:
        text = str(error)
    _complain(f"{source}: {text}" if source else text)
    return EXIT_INPUT if isinstance(error, InputError) else EXIT_FAILED


def _complain(text: str) -> None:
    say(f"segclient: error: {text}")


def _exit(codes: list[int]) -> None:
    """Exit with the first failure's code, else with that of dropped frames."""
    failures = [code for code in codes if code not in (0, EXIT_DROPPED)]
    code = (failures or [max(codes, default=0)])[0]
    if code:
        click.get_current_context().exit(code)
