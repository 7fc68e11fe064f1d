"""The options of `segclient segment`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from segtriton_client.cli_options import ColorType
from segtriton_client.compositors import LOCAL_EFFECTS
from segtriton_client.option_sections import in_section
from segtriton_protocol import EFFECTS, ENCODERS, IMAGE_EFFECT, KEEP_PIXEL_FORMAT, PIXEL_FORMATS, X264_PRESETS
from segtriton_protocol.matte_spec import MOST_FRAMES_A_MASK

_Command = TypeVar("_Command", bound=Callable[..., Any])

EXAMPLES = """\b
Examples:
  segclient -sv clip.mp4
  segclient -sv clips/ -o out/ --jobs 4 --continue
  segclient -sv talk.mp4 --effect image --background beach.jpg
  segclient -sv talk.mp4 --effect cutout -o talk.webm
  segclient -sv --live rtsp://camera/stream --duration 60 -o minute.mp4
  segclient -sv talk.mp4 -o - | ffplay -
  segclient photos/ --effect blur -o blurred/

Every option can be set by SEGCLIENT_<OPTION> in the environment, and in the file that --config names.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 input unreadable, 4 frames were dropped
or the input is cut off."""

_input, _output = in_section("What goes in"), in_section("Where results go")
_effect, _mask = in_section("What is drawn"), in_section("The mask (with -sv)")
_coding, _live, _run = in_section("Coding"), in_section("Live (with -sv)"), in_section("The run")

_OPTIONS = (
    _input("-i", "--input", "inputs", multiple=True, help="Input; may be repeated."),
    _input("-sv", "--stream-video", is_flag=True, help="Stream packets; without it frames are sent in batches."),
    _input("-b", "--batch-size", type=click.IntRange(1, 32), default=4, show_default=True, help="Frames a request."),
    _input("--duration", type=click.FloatRange(0), default=0.0, help="Read so many seconds of each  [default: all]."),
    _input(
        "--reconnect-seconds",
        type=click.FloatRange(0),
        default=0.0,
        show_default=True,
        help="How long to look for a source (a camera's URL) that ends; 0 takes its end for the end.",
    ),
    _input("--deinterlace/--no-deinterlace", default=True, show_default=True, help="Make interlaced pictures whole."),
    _input("--strict", is_flag=True, help="End at the first damaged frame, with exit code 3."),
    _output("-o", "--output", help="File, folder for several results, URL, or - for standard output."),
    _output("--overwrite/--no-overwrite", default=True, show_default=True, help="Replace an output that exists."),
    _output("--continue", "continue", is_flag=True, help="Leave out inputs whose output is there already."),
    _output(
        "--report", type=click.Path(dir_okay=False, readable=False, path_type=Path), help="Write what was done as JSON."
    ),
    _effect(
        "--effect",
        type=click.Choice((*EFFECTS, IMAGE_EFFECT, *LOCAL_EFFECTS)),
        multiple=True,
        help="May be repeated, for several outputs of one pass  [default: blur]",
    ),
    _effect("--strength", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of blur or overlay."),
    _effect(
        "--color", type=ColorType(), default="0,177,64", show_default=True, help="Of color or overlay; or #rrggbb."
    ),
    _effect(
        "--background",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Picture or video for effect image.",
    ),
    _effect(
        "--despill/--no-despill",
        default=True,
        show_default=True,
        help="Take the old background's colour out of soft edges, with color, image and cutout.",
    ),
    _effect(
        "-c",
        "--class-name",
        multiple=True,
        help="What to find; may be repeated, for all of them together  [default: the network's own]",
    ),
    _effect("--network", default="selfie", show_default=True, help="Which of the server's networks."),
    _mask("--invert", is_flag=True, help="Take everything but the class; without -sv, too."),
    _mask(
        "--smooth",
        type=click.FloatRange(0, 0.95),
        help="Hold the mask still where it or the picture hardly changes; 0 for not  [default: 0.7]",
    ),
    _mask(
        "--feather",
        type=click.FloatRange(-1, 1),
        help="Soften the mask's edge, outwards, or inwards below 0  [default: 0]",
    ),
    _mask(
        "--refine-edges",
        type=click.FloatRange(0, 1),
        help="Draw the mask's edge to the picture's; 0 for not  [default: 1, with --live 0]",
    ),
    _mask(
        "--mirror/--no-mirror",
        default=None,
        help="Run the network for the mirror image, too, and take the mean  [default: mirror; not with --live or "
        "a network of your own]",
    ),
    _mask(
        "--mask-every",
        type=click.IntRange(1, MOST_FRAMES_A_MASK),
        help="Run the network for one frame in so many while the picture hardly moves  [default: 1]",
    ),
    _coding(
        "--encoder",
        type=click.Choice(ENCODERS),
        default="auto",
        show_default=True,
        help="The server's; with mask and --effect, this machine draws and codes.",
    ),
    _coding("--preset", type=click.Choice(X264_PRESETS), default="superfast", show_default=True, help="Of x264."),
    _coding("--crf", type=click.IntRange(0, 51), default=23, show_default=True, help="Of x264: less is better."),
    _coding(
        "--pix-fmt",
        type=click.Choice(PIXEL_FORMATS),
        default=KEEP_PIXEL_FORMAT,
        show_default=True,
        help="With -sv: keep the input's bits and chroma where they can be coded, or make it what every player knows.",
    ),
    _live("--live", is_flag=True, help="Send packets at the speed of the clip, as a camera would."),
    _live(
        "--max-latency",
        type=click.FloatRange(0.05),
        default=1.0,
        show_default=True,
        help="Seconds after which packets that could not be sent are dropped and counted.",
    ),
    _run("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Inputs done at the same time."),
    _run(
        "--resume-seconds",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        help="How long to look for another server when one goes away; 0 gives up at once.",
    ),
    _run(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="warning",
        show_default=True,
        help="What is told on standard error.",
    ),
)


def segment_options(command: _Command) -> _Command:
    """Add them to the command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
