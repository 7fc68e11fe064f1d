"""The benchmark on a GPU: the service against the machine's limits and the sample's way, all in one run.

    python tests/bench/gpu/run.py [--quick] [--only SECTION...] [--json FILE] [--clips FOLDER] [--seconds N]

Sections: clips, limits, sample, service, matte, live, frames, profile (see `Benchmark`). Everything is written to FILE
after each figure, so that a run that is cut short loses little. A section that fails is told at the end; the others go
on.
Nothing here is an assertion: targets are shown beside.
"""

import contextlib
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # tables and processes are as in the benchmark on the CPU

from children import run_children
from figures import PROFILED_SESSIONS, Figures, keeps_pace, make_rows
from gpu_clips import Clip, make_clip
from gpu_host import describe
from identity import IDENTITY, make_repository
from load import Load, Stream, run_frames, run_streams
from plan import SECTIONS, Setup, make_setup, parse
from table import render

from segtriton_server.launch import LaunchSettings, TritonProcess

# Masks as the network gives them: what their treatment costs is a section of its own.
PLAIN: dict[str, Any] = {"effect": "blur", "matte": {"smoothing": 0.0}}
OUTPUTS: dict[str, dict[str, Any]] = {
    "mask": PLAIN | {"encoder": "mask"},
    "mjpeg": PLAIN | {"encoder": "mjpeg", "quality": 85},
    "h264": PLAIN | {"encoder": "h264", "preset": "ultrafast", "crf": 23},
}
TREATMENTS: dict[str, dict[str, float]] = {
    "as the network gives them": {"smoothing": 0.0},
    "smoothed": {"smoothing": 0.8},
    "feathered": {"smoothing": 0.0, "feather": 0.3},
    "smoothed and feathered": {"smoothing": 0.8, "feather": 0.3},
}
WARM_SECONDS = 1.0
# Half of it for sessions to begin one after another, half to catch up: each decoder takes the driver 60 ms to make.
LIVE_WARM_SECONDS = 10.0
FRAME_CLIENTS = 4
RAW_FRAMES = {"raw frames": "grpc", "raw frames in shared memory": "shared-memory"}
CHILD_SLACK_SECONDS = 60.0


class Server:
    """One Triton for all sections, started when it is first needed, and again after it has ended."""

    def __init__(self, setup: Setup, figures: Figures) -> None:
        self._setup = setup
        self._figures = figures
        self._folder = tempfile.TemporaryDirectory(prefix="segtriton-bench-")
        self._process: TritonProcess | None = None

    def get(self) -> TritonProcess:
        """Return a Triton that is ready."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        network = self._setup.network
        networks = self._setup.assets / "networks"
        models = (network, f"{network}_streaming")
        repository = tempfile.mkdtemp(prefix="models-", dir=self._folder.name)
        settings = LaunchSettings(
            model_repository=make_repository(Path(repository), models),
            models=(*models, IDENTITY),
            grpc_port=0,
            http_port=0,
            metrics_port=0,
            networks=networks if networks.is_dir() else None,
            log_path=Path(self._folder.name) / "triton.log",
            ready_timeout_seconds=180,
            environment=self._setup.environment,
        )
        process, started = TritonProcess(settings), time.monotonic()
        process.start()
        self._process = process
        process.wait_ready()
        self._figures.ready_seconds = time.monotonic() - started
        return process

    def stop(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def log_tail(self) -> str:
        """What it said last."""
        return self._process.log_tail() if self._process is not None else ""


class Benchmark:
    """Each method named like a section measures it; clips are made whenever one is needed."""

    def __init__(self, setup: Setup, save: Callable[[Figures], None]) -> None:
        self.figures = Figures()
        self._setup = setup
        self._save = save
        self._server = Server(setup, self.figures)

    def run(self, sections: Sequence[str]) -> Figures:
        """Measure the sections in their order."""
        try:
            for section in SECTIONS:
                if section in sections and not self._is_late(section):
                    self._attempt(section, getattr(self, section))
        finally:
            self._server.stop()
        return self.figures

    def clips(self) -> None:
        """The clips: a film, and the same as a live source sends it."""
        for kind in ("film", "live"):
            self._clip(kind)

    def limits(self) -> None:
        """What the machine can do in each stage alone."""
        plan = self._setup.plan
        self._limit("nvdec", threads=plan.nvdec_threads)
        self._limit("nvdec", threads=(4,), processes=plan.processes)
        for name in ("network", "network_ours", "selfie", "pre_post", "nvjpeg"):
            self._limit(name)
        self._limit("nvjpeg", processes=plan.processes)
        self._limit("x264")

    def sample(self) -> None:
        """The sample's way."""
        seconds = self._setup.plan.limit_seconds
        arguments = [str(self._clip("film").path), "--seconds", str(seconds)]
        (speeds,) = run_children("sample_way.py", [arguments], 3 * seconds + CHILD_SLACK_SECONDS)
        self.figures.sample.update(speeds)

    def service(self) -> None:
        """Streamed sessions, more and more of them, for each encoder."""
        for encoder, sessions in itertools.product(OUTPUTS, self._setup.plan.sessions):
            if not self._is_late(f"service, {encoder}, {sessions} sessions"):
                self._streams(encoder, sessions)

    def matte(self) -> None:
        """What treatments of masks cost, beside the same sessions without."""
        for name, treatment in TREATMENTS.items():
            if not self._is_late(f"masks {name}"):
                progress(f"masks {name}, {PROFILED_SESSIONS} sessions")
                stream = Stream(self._clip("film").path, self._setup.network, OUTPUTS["mask"] | {"matte": treatment})
                server, seconds = self._server.get(), self._setup.plan.seconds
                load = run_streams(server, stream, PROFILED_SESSIONS, seconds, WARM_SECONDS)
                self._note(self.figures.mattes, name, load)

    def live(self) -> None:
        """Sessions in real time, until one comes late."""
        for sessions in self._setup.plan.live:
            if self._is_late(f"live, {sessions} sessions"):
                return
            progress(f"live, {sessions} sessions")
            stream = Stream(self._clip("live").path, self._setup.network, OUTPUTS["mask"], "live")
            load = run_streams(self._server.get(), stream, sessions, self._setup.plan.seconds, LIVE_WARM_SECONDS)
            self._note(self.figures.live, sessions, load)
            if not keeps_pace(load):
                return

    def frames(self) -> None:
        """Raw frames in batches, what Triton alone does with them, and what streaming does beside it."""
        path, seconds = self._clip("film").path, self._setup.plan.seconds
        for (name, way), model in itertools.product(RAW_FRAMES.items(), (self._setup.network, IDENTITY)):
            what = name if model != IDENTITY else f"{name}, a model that gives them back"
            progress(f"{what}, {FRAME_CLIENTS} clients")
            load = run_frames(self._server.get(), path, model, FRAME_CLIENTS, seconds, WARM_SECONDS, way)
            self._note(self.figures.ways, what, load)
        for sessions in (1, FRAME_CLIENTS):
            streamed = self.figures.service.get(("mjpeg", sessions)) or self._streams("mjpeg", sessions)
            self.figures.ways[f"streamed, MJPEG, {sessions} session{'s' * (sessions > 1)}"] = streamed

    def profile(self) -> None:
        """Where the time goes with some sessions; measured with the service, or now."""
        for encoder in OUTPUTS:
            if (encoder, PROFILED_SESSIONS) not in self.figures.service and not self._is_late(f"profile, {encoder}"):
                self._streams(encoder, PROFILED_SESSIONS)

    def _streams(self, encoder: str, sessions: int) -> Load:
        progress(f"{encoder}, {sessions} sessions")
        stream = Stream(self._clip("film").path, self._setup.network, OUTPUTS[encoder])
        load = run_streams(self._server.get(), stream, sessions, self._setup.plan.seconds, WARM_SECONDS)
        self._note(self.figures.service, (encoder, sessions), load)
        return load

    def _limit(self, limit: str, threads: tuple[int, ...] = (0,), processes: int = 1) -> None:
        """Measure one limit, in one process or in several at once, for each number of threads (0: as it likes)."""
        name = f"{limit}, {processes} processes" if processes > 1 else limit

        def measure() -> None:
            seconds = self._setup.plan.limit_seconds
            arguments = [
                limit,
                str(self._clip("film").path),
                "--seconds",
                str(seconds),
                "--threads",
                *map(str, threads),
            ]
            limit_seconds = seconds * len(threads) + CHILD_SLACK_SECONDS
            results = run_children("gpu_limits.py", [arguments] * processes, limit_seconds)
            for count in threads:
                key = f"{name}, {count} threads{' each' * (processes > 1)}" if count else name
                self.figures.limits[key] = sum(result["per_second"][str(count)] for result in results)
                progress(f"  {key}: {self.figures.limits[key]:.1f} fps")

        if not self._is_late(name):
            self._attempt(name, measure)

    def _clip(self, kind: str) -> Clip:
        setup = self._setup
        source = setup.assets / "clips" / "bigbuckbunny.mp4"
        return make_clip(source, kind, setup.size_wh, setup.plan.num_frames, setup.clips)

    def _note(self, group: dict[Any, Load], key: Any, load: Load) -> None:
        group[key] = load
        latency = ", ".join(f"{name} {value:.1f}" for name, value in load.latency_ms.items())
        progress(f"  {load.frames_per_second:.1f} fps, latency {latency} ms, {load.note}")
        self._save(self.figures)

    def _attempt(self, name: str, measure: Callable[[], None]) -> None:
        progress(name)
        try:
            measure()
        except Exception as error:  # noqa: BLE001 - told at the end; what else can be measured is worth having
            self.figures.errors[name] = f"{type(error).__name__}: {error}"
            progress(f"  FAILED: {self.figures.errors[name]}\n{self._server.log_tail()}")
            if name in SECTIONS:
                # A broken section may have left sessions behind; the next begins with a new server.
                with contextlib.suppress(Exception):
                    self._server.stop()
        self._save(self.figures)

    def _is_late(self, name: str) -> bool:
        if time.monotonic() < self._setup.deadline:
            return False
        progress(f"{name}: left out, the time is over")
        return True


def progress(step: str) -> None:
    """Say what is going on, and since when."""
    sys.stderr.write(f"[{time.monotonic() - STARTED:5.0f} s] {step}\n")
    sys.stderr.flush()


def write_json(path: Path, figures: Figures, host: dict[str, str], setup: Setup) -> None:
    """Rows, and all figures behind them; whoever reads meanwhile never sees half a file."""
    plan = {**asdict(setup.plan), "size_wh": setup.size_wh, "network": setup.network}
    rows = [row.to_json() for row in make_rows(figures)]
    content = {"machine": host, "plan": plan, "environment": setup.environment, "rows": rows, **figures.to_json()}
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit status tells whether a section failed."""
    options = parse(arguments)
    setup, host = make_setup(options, STARTED), describe(options.commit)

    def save(figures: Figures) -> None:
        if options.json:
            write_json(options.json, figures, host, setup)

    figures = Benchmark(setup, save).run(options.only)
    print("{gpu}, driver {driver}, torch {torch}, commit {commit}".format(**host), end="; ")
    print("{}x{}, {}".format(*setup.size_wh, setup.network))
    print("{cores} cores, {processor}, {core_speed} million passes of a Python loop a second".format(**host))
    print(render(make_rows(figures)))
    for name, error in figures.errors.items():
        print(f"FAILED {name}: {error}")
    return 1 if figures.errors else 0


STARTED = time.monotonic()

if __name__ == "__main__":
    sys.exit(main())
