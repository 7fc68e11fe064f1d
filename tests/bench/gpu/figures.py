"""What was measured, and the rows made of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from load import Load
from table import Row, Target

LATENCY_LIMIT_MS = 100.0
LIVE_FPS = 30
# A session that cannot keep pace falls behind further and further; this much is the clock's own inexactness.
LIVE_SHARE = 0.97
# The streamed loads by the encoder asked for; the title is the table's.
TITLES = {"mask": "bare masks", "mjpeg": "blur, MJPEG", "h264": "blur, x264 ultrafast crf 23"}
SAMPLE_TITLES = {"none": "decode to composite", "mjpeg": "and nvJPEG", "h264": "and x264 on one core"}
PROFILED_SESSIONS = 8
TARGETS = {
    "mask of nvdec": Target(0.7, 0.9),
    "h264 of x264": Target(0.8, 0.95),
    "one clip": Target(0.5, 0.8),
    "mjpeg": Target(1500, 2500),
    "sample": Target(10, 20),
    "live": Target(48, 100),
    "raw frames": Target(250, 500),
}


@dataclass
class Figures:
    """All that was measured so far.

    Attributes:
        limits: frames a second by name.
        sample: the sample's way by encoder, frames a second.
        service: by encoder and number of sessions.
        mattes: by treatment of the masks, the plain ones first.
        live: by number of sessions.
        ways: streamed and not, by name, for the section on both.
    """

    limits: dict[str, float] = field(default_factory=dict)
    sample: dict[str, float] = field(default_factory=dict)
    service: dict[tuple[str, int], Load] = field(default_factory=dict)
    mattes: dict[str, Load] = field(default_factory=dict)
    live: dict[int, Load] = field(default_factory=dict)
    ways: dict[str, Load] = field(default_factory=dict)
    ready_seconds: float | None = None
    errors: dict[str, str] = field(default_factory=dict)

    def limit(self, stage: str) -> float | None:
        """The best of a stage alone, with whatever threads and processes."""
        return max((value for name, value in self.limits.items() if name.partition(",")[0] == stage), default=None)

    @property
    def one_clip_limit(self) -> float | None:
        """What decodes or what codes one clip, whichever is slower: one NVDEC session, or x264 on all cores."""
        decoder, encoder = self.limits.get("nvdec, 1 threads"), self.limit("x264")
        return min(decoder, encoder) if decoder and encoder else None

    def busiest(self, encoder: str) -> Load | None:
        """The load with the most sessions."""
        counts = [count for name, count in self.service if name == encoder]
        return self.service[encoder, max(counts)] if counts else None

    def best(self, encoder: str) -> float | None:
        """The highest speed of any number of sessions."""
        speeds = [load.frames_per_second for (name, _), load in self.service.items() if name == encoder]
        return max(speeds, default=None)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "limits": self.limits,
            "sample": self.sample,
            "service": [{"encoder": encoder, **load.to_json()} for (encoder, _), load in self.service.items()],
            "mattes": {name: load.to_json() for name, load in self.mattes.items()},
            "live": [load.to_json() for load in self.live.values()],
            "ways": {name: load.to_json() for name, load in self.ways.items()},
            "ready_seconds": self.ready_seconds,
            "errors": self.errors,
        }


def keeps_pace(load: Load) -> bool:
    """Whether live sessions got their frames in time, and all of them."""
    speed = LIVE_SHARE * LIVE_FPS * load.sessions
    return load.latency_ms["p95"] < LATENCY_LIMIT_MS and load.frames_per_second >= speed


def make_rows(figures: Figures) -> list[Row]:
    """The table's rows in order, of what there is."""
    parts = (limit_rows, sample_rows, service_rows, target_rows, matte_rows, live_rows, way_rows, profile_rows)
    return [row for part in parts for row in part(figures)]


def limit_rows(figures: Figures) -> Iterator[Row]:
    """The machine's limits."""
    for name, value in figures.limits.items():
        yield Row("Limits, each alone", name.replace("_", " "), value, "fps")


def sample_rows(figures: Figures) -> Iterator[Row]:
    """The sample's way."""
    for encoder, value in figures.sample.items():
        yield Row("The sample's way, one stream", SAMPLE_TITLES[encoder], value, "fps")


def service_rows(figures: Figures) -> Iterator[Row]:
    """Every streamed load."""
    for encoder, sessions in sorted(figures.service, key=lambda key: (list(TITLES).index(key[0]), key[1])):
        load = figures.service[encoder, sessions]
        what = f"{sessions} session{'s' * (sessions > 1)}"
        yield Row(f"Streamed, {TITLES[encoder]}", what, load.frames_per_second, "fps", note=load.note)
    if figures.ready_seconds is not None:
        yield Row("Server", "ready after", figures.ready_seconds, "s")


def target_rows(figures: Figures) -> Iterator[Row]:
    """What is reached of the limits, and how far the sample's way is left behind."""
    section = "Against limits and the sample's way"
    limits = {"mask": ("NVDEC alone", figures.limit("nvdec")), "h264": ("x264 alone", figures.limit("x264"))}
    for encoder, key in (("mask", "mask of nvdec"), ("h264", "h264 of x264")):
        load, (name, limit) = figures.busiest(encoder), limits[encoder]
        if load is not None and limit:
            what, speed = f"{TITLES[encoder]}, {load.sessions} sessions", load.frames_per_second
            yield Row(section, what, speed, "fps", speed / limit, name, TARGETS[key])
    alone, limit = figures.service.get(("h264", 1)), figures.one_clip_limit
    if alone is not None and limit:
        what, speed = f"{TITLES['h264']}, one clip", alone.frames_per_second
        name = "one NVDEC session or x264 alone"
        yield Row(section, what, speed, "fps", speed / limit, name, TARGETS["one clip"], alone.note)
    mjpeg = figures.best("mjpeg")
    if mjpeg is not None:
        yield Row(section, TITLES["mjpeg"] + ", best", mjpeg, "fps", target=TARGETS["mjpeg"])
        if limit := figures.limit("nvjpeg"):
            yield Row(section, TITLES["mjpeg"] + ", best", mjpeg, "fps", mjpeg / limit, "nvJPEG alone")
    for encoder, other in (("mjpeg", "mjpeg"), ("h264", "h264"), ("mask", "none")):
        best, sample = figures.best(encoder), figures.sample.get(other)
        if best is not None and sample:
            # Bare masks leave the composite out, which the sample's way draws: no fair target.
            target, note = (TARGETS["sample"], "") if encoder == other else (None, "the sample's way draws, too")
            yield Row(section, f"{TITLES[encoder]}, best", best, "fps", best / sample, "the sample's way", target, note)


def matte_rows(figures: Figures) -> Iterator[Row]:
    """What treatments of masks cost."""
    section = f"Bare masks, treated, {PROFILED_SESSIONS} sessions"
    return rows_against_first(section, figures.mattes)


def live_rows(figures: Figures) -> Iterator[Row]:
    """Sessions in real time."""
    section = f"Live, {LIVE_FPS} fps each, bare masks, from sending to receipt"
    for sessions, load in figures.live.items():
        note = f"p50 {load.latency_ms['p50']:.1f} ms, {load.frames_per_second:.0f} fps, {load.note}"
        yield Row(section, f"{sessions} sessions, latency p95", load.latency_ms["p95"], "ms", note=note)
    if figures.live:
        most = max((sessions for sessions, load in figures.live.items() if keeps_pace(load)), default=0)
        what = f"most sessions under {LATENCY_LIMIT_MS:g} ms"
        yield Row(section, what, most, "sessions", target=TARGETS["live"])


def way_rows(figures: Figures) -> Iterator[Row]:
    """Streamed against raw frames, and these against the same Triton with a model that gives them back."""
    yield from rows_against_first("Ways to send, blur", figures.ways)
    raw = figures.ways.get("raw frames")
    if raw is not None:
        yield Row("Ways to send, blur", "raw frames", raw.frames_per_second, "fps", target=TARGETS["raw frames"])


def rows_against_first(section: str, loads: dict[str, Load]) -> Iterator[Row]:
    """Loads by name, each beside the first."""
    first, speed_of_first = next(((name, load.frames_per_second) for name, load in loads.items()), ("", 0.0))
    for name, load in loads.items():
        ratio = load.frames_per_second / speed_of_first if name != first and speed_of_first else None
        yield Row(section, name, load.frames_per_second, "fps", ratio, first if ratio else "", note=load.note)


def profile_rows(figures: Figures) -> Iterator[Row]:
    """Where the time goes, by the server's own histograms."""
    for (encoder, sessions), load in figures.service.items():
        if sessions != PROFILED_SESSIONS:
            continue
        section = f"Where the time goes, {TITLES[encoder]}, {sessions} sessions"
        for name, times in load.stage_times.items():
            if times.count:
                yield Row(section, name, times.mean_ms, "ms", note=f"{times.count:.0f} times")
        for name, percent in load.gpu_percent.items():
            yield Row(section, f"GPU's {name}", percent, "%")
