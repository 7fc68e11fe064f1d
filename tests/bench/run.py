"""The benchmark: the service against a plain script and against the machine's limits, all in one run.

    python tests/bench/run.py [--quick] [--json FILE]

Rounds take turns between the plain script and the service, so that a machine that gets slower or faster meanwhile
changes both sides; a figure is the median of the rounds. Nothing here is an assertion: targets are shown beside.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import limits
from clips import Clip, bunny, person
from drive import Run, machine, run_clients, run_plain
from processes import proportional_bytes
from table import Row, Target, render

from segtriton_server.launch import LaunchSettings, TritonProcess

ROOT = Path(__file__).parents[2]
MEGABYTE = 1e6
TARGETS = {
    1: Target(2.5, 4.5),
    4: Target(3.5, 6),
    "latency p95": Target(120, 60),
    "ready": Target(5, 3),
    "memory": Target(400, 200),
    "memory of a session": Target(60, 30),
}


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    repeats: int
    rounds: int
    sessions: tuple[int, ...]
    with_person: bool


FULL = Plan(repeats=2, rounds=3, sessions=(1, 2, 4, 8), with_person=True)
QUICK = Plan(repeats=1, rounds=1, sessions=(1, 4), with_person=False)


@dataclass
class Figures:
    """All that was measured; runs by clip and kind: "plain", "default", "frames", "live" or the number of sessions."""

    runs: dict[tuple[str, str | int], list[Run]] = field(default_factory=lambda: defaultdict(list))
    limits: dict[str, float] = field(default_factory=dict)
    ready_seconds: float = 0.0
    memory_at_rest: int = 0
    memory_afterwards: int = 0

    def speed(self, clip: str, kind: str | int) -> float:
        """The median of the rounds."""
        return statistics.median(run.frames_per_second for run in self.runs[clip, kind])

    def spread(self, clip: str, kind: str | int) -> str:
        """From the slowest to the fastest round, and the processor time that a noisy machine changes least."""
        runs = self.runs[clip, kind]
        speeds = [run.frames_per_second for run in runs]
        cores = statistics.median(run.cores for run in runs)
        cpu_ms = statistics.median(sum(run.cpu_ms.values()) for run in runs)
        return f"{min(speeds):.0f}..{max(speeds):.0f} fps, {cores:.1f} cores, {cpu_ms:.1f} ms of CPU a frame"


class Benchmark:
    """Measures what a plan asks for."""

    def __init__(self, plan: Plan, assets: Path) -> None:
        self.plan = plan
        self.figures = Figures()
        self._network = assets / "networks" / "selfie_segmentation_landscape.tflite"
        self._networks = assets / "networks"
        self.bunny = bunny(assets / "clips" / "bigbuckbunny.mp4", plan.repeats)
        self._person = person(assets / "clips" / "carphone_pristine.mp4", plan.repeats) if plan.with_person else None

    def run(self) -> Figures:
        """Measure everything, with a line of progress for each step."""
        with tempfile.TemporaryDirectory() as folder:
            settings = LaunchSettings(
                model_repository=ROOT / "triton_models",
                grpc_port=0,
                http_port=0,
                metrics_port=0,
                networks=self._networks,
                log_path=Path(folder) / "triton.log",
            )
            progress("start")
            started = time.monotonic()
            with TritonProcess(settings) as server:
                self.figures.ready_seconds = time.monotonic() - started
                time.sleep(1)
                self.figures.memory_at_rest = proportional_bytes(server.pid)
                try:
                    self._measure_service(server)
                except RuntimeError:
                    sys.stderr.write(server.log_tail())
                    raise
                time.sleep(1)
                self.figures.memory_afterwards = proportional_bytes(server.pid)
        for name, limit in (
            ("decode only", lambda: limits.decode_only(self.bunny)),
            ("encode only", lambda: limits.encode_only(self.bunny)),
            ("network only", lambda: limits.network_only(self._network)),
        ):
            progress(name)
            self.figures.limits[name] = statistics.median(limit() for _ in range(self.plan.rounds))
        return self.figures

    def _measure_service(self, server: TritonProcess) -> None:
        for number in range(self.plan.rounds):
            self._plain(self.bunny, number)
            for sessions in self.plan.sessions:
                self._clients(server, self.bunny, sessions, number)
            for way in ("default", "frames"):
                self._clients(server, self.bunny, way, number)
            if self._person is not None:
                self._plain(self._person, number)
                for sessions in (1, 4):
                    self._clients(server, self._person, sessions, number)
        self._clients(server, self.bunny, "live", 0)

    def _plain(self, clip: Clip, number: int) -> None:
        progress(f"{clip.name}, plain script, round {number + 1}")
        self.figures.runs[clip.name, "plain"].append(run_plain(clip, self._network))

    def _clients(self, server: TritonProcess, clip: Clip, kind: str | int, number: int) -> None:
        progress(f"{clip.name}, {f'{kind} sessions' if isinstance(kind, int) else kind}, round {number + 1}")
        count, way = (kind, "streamed") if isinstance(kind, int) else (1, kind)
        self.figures.runs[clip.name, kind].append(run_clients(server.grpc_address, server.pid, clip, count, way))


def make_rows(figures: Figures, plan: Plan) -> list[Row]:
    """The table's rows in order."""
    rows = []
    for clip in dict.fromkeys(clip for clip, _ in figures.runs):
        rows += rows_of_clip(figures, clip)
    busiest = max(plan.sessions)
    return [*rows, *rows_of_limits(figures, busiest), *rows_of_ways(figures), *rows_of_server(figures, busiest)]


def rows_of_clip(figures: Figures, clip: str) -> list[Row]:
    """Streamed against the plain script."""
    section = f"Streamed, 720p {clip}, blur, x264 ultrafast crf 23"
    plain = figures.speed(clip, "plain")
    rows = [Row(section, "plain script", plain, "fps", note=figures.spread(clip, "plain"))]
    for sessions in sorted(kind for name, kind in figures.runs if name == clip and isinstance(kind, int)):
        speed = figures.speed(clip, sessions)
        rows.append(
            Row(
                section,
                f"{sessions} session{'s' * (sessions > 1)}",
                speed,
                "fps",
                speed / plain,
                "plain script",
                TARGETS.get(sessions),
                figures.spread(clip, sessions),
            )
        )
    return rows


def rows_of_limits(figures: Figures, sessions: int) -> list[Row]:
    """The machine's limits, and what share of them is reached."""
    section = f"Limits of this machine with all cores, and what {sessions} sessions reach of them"
    speed = figures.speed("bunny", sessions)
    speeds = dict(figures.limits)
    speeds["all three in turn"] = 1 / sum(1 / limit for limit in figures.limits.values())
    rows = [Row(section, name, limit, "fps", speed / limit, "the limit") for name, limit in speeds.items()]
    one_clip, slowest = figures.speed("bunny", 1), min(figures.limits, key=lambda name: figures.limits[name])
    return [*rows, Row(section, "one clip", one_clip, "fps", one_clip / figures.limits[slowest], slowest)]


def rows_of_ways(figures: Figures) -> list[Row]:
    """Streamed against frames in batches, and latency when frames come at their time."""
    section = "Ways to send, 720p bunny, 1 client"
    frames, streamed = figures.speed("bunny", "frames"), figures.speed("bunny", 1)
    default = figures.speed("bunny", "default")
    rows = [
        Row(section, "raw frames, batches of 4", frames, "fps", note=figures.spread("bunny", "frames")),
        Row(section, "streamed", streamed, "fps", streamed / frames, "raw frames"),
        Row(section, "the same, masks as by default", default, "fps", default / streamed, "the network's own"),
    ]
    latency = figures.runs["bunny", "live"][0].latency_ms
    for name in ("p50", "p95", "p99"):
        rows.append(
            Row(section, f"live 25 fps, latency {name}", latency[name], "ms", target=TARGETS.get(f"latency {name}"))
        )
    return rows


def rows_of_server(figures: Figures, sessions: int) -> list[Row]:
    """Start-up and memory."""
    section = "Server"
    fewest = min(kind for clip, kind in figures.runs if isinstance(kind, int))
    # The first round, in which the number of sessions only rises: memory once taken is not all given back.
    peaks = [figures.runs["bunny", count][0].memory for count in (fewest, sessions)]
    each = (peaks[1] - peaks[0]) / (sessions - fewest) / MEGABYTE
    rest = figures.memory_at_rest / MEGABYTE
    return [
        Row(section, "ready after", figures.ready_seconds, "s", target=TARGETS["ready"]),
        Row(section, "memory at rest", rest, "MB", target=TARGETS["memory"]),
        Row(section, f"memory with {sessions} sessions", peaks[1] / MEGABYTE, "MB"),
        Row(section, "memory at rest afterwards", figures.memory_afterwards / MEGABYTE, "MB"),
        Row(section, "memory for each further session", each, "MB", target=TARGETS["memory of a session"]),
    ]


def progress(step: str) -> None:
    """Say on the terminal what is going on."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{step}")


def write_json(path: Path, rows: list[Row], figures: Figures, host: dict[str, object]) -> None:
    """Rows, and every run behind them."""
    runs = [
        {"clip": clip, "kind": kind, **run.to_json()} for (clip, kind), group in figures.runs.items() for run in group
    ]
    content = {"machine": host, "rows": [row.to_json() for row in rows], "runs": runs, "limits": figures.limits}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Compare the service with a plain script and the machine's limits.")
    parser.add_argument("--quick", action="store_true", help="one short round, in under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE, too")
    parser.add_argument("--assets", type=Path, default=ROOT / ".assets", help="default: %(default)s")
    options = parser.parse_args(arguments)
    plan, host = QUICK if options.quick else FULL, machine()
    figures = Benchmark(plan, options.assets).run()
    rows = make_rows(figures, plan)
    progress("")
    print(
        "{processor}, {cores} cores, load before {load_before:.2f}; median of {rounds}".format(
            rounds=plan.rounds, **host
        )
    )
    print(render(rows))
    if options.json:
        write_json(options.json, rows, figures, host)


if __name__ == "__main__":
    main()
