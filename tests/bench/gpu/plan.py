"""What the benchmark on a GPU measures, and how much of it, by its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gpu_clips import FOLDER
from gpu_host import ROOT

SECTIONS = ("clips", "limits", "sample", "service", "matte", "live", "frames", "profile")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    seconds: float
    limit_seconds: float
    num_frames: int
    nvdec_threads: tuple[int, ...]
    processes: int
    sessions: tuple[int, ...]
    live: tuple[int, ...]


FULL = Plan(4.0, 2.0, 300, (1, 4, 8, 16), 4, (1, 2, 4, 8, 16), (16, 32, 48, 64, 80, 96))
QUICK = Plan(2.0, 1.5, 120, (1, 4, 8), 2, (1, 8, 16), (16, 48))


@dataclass(frozen=True)
class Setup:
    """What is measured, and with what."""

    plan: Plan
    network: str
    size_wh: tuple[int, int]
    clips: Path
    assets: Path
    environment: dict[str, str]
    deadline: float


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare the service on a GPU with its limits and the sample's way.")
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer and shorter measurements, in about two minutes")
    add("--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE, too")
    add("--clips", type=Path, metavar="FOLDER", default=FOLDER, help="where clips are kept; default: %(default)s")
    add("--seconds", type=float, metavar="N", help="how long each figure of the service is taken")
    add("--budget", type=float, metavar="N", default=400, help="begin nothing after N seconds; default: %(default)s")
    add("--network", default="fcn_resnet101", help="the pair of models NAME and NAME_streaming; default: %(default)s")
    add("--size", type=parse_size, metavar="WxH", default=(1920, 1080), help="of the clips; default: 1920x1080")
    add("--sessions", type=int, nargs="+", metavar="N", help="numbers of streamed sessions")
    add("--live", type=int, nargs="+", metavar="N", help="numbers of live sessions, until one comes late")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server, repeatable")
    add("--commit", default="", help="the version measured, where there is no git to ask")
    add("--assets", type=Path, default=ROOT / ".assets", help="default: %(default)s")
    return parser.parse_args(arguments)


def parse_size(text: str) -> tuple[int, int]:
    """Read WxH."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def make_setup(options: argparse.Namespace, started: float) -> Setup:
    """Turn the command line into what is measured; `started` is the monotonic clock's."""
    plan = asdict(QUICK if options.quick else FULL)
    if options.seconds:
        plan.update(seconds=options.seconds, limit_seconds=min(options.seconds, plan["limit_seconds"]))
    if options.sessions:
        plan.update(sessions=tuple(options.sessions))
    if options.live:
        plan.update(live=tuple(options.live))
    environment = {
        "SEGTRITON_ACCELERATOR": "gpu",
        "SEGTRITON_WEIGHTS": "seeded",
        "SEGTRITON_STREAM_SLOTS": "128",
    }
    environment.update(item.partition("=")[::2] for item in options.env)
    if options.network.startswith("selfie"):
        del environment["SEGTRITON_WEIGHTS"]  # its weights are in the repository's assets
    return Setup(
        plan=Plan(**plan),
        network=options.network,
        size_wh=options.size,
        clips=options.clips,
        assets=options.assets,
        environment=environment,
        deadline=started + options.budget,
    )
