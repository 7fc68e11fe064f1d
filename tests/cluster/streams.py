"""segclient as people run it: from outside the cluster as processes of this machine, from inside as pods."""

import json
import logging
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from lab.kubernetes import Json
from lab.settings import REPOSITORY
from lab.shell import LabError

log = logging.getLogger(__name__)

CAMERA = REPOSITORY / ".assets" / "clips" / "carphone_pristine.mp4"
FRAMES = 120
SEGCLIENT = Path(sys.executable).with_name("segclient")


@dataclass(frozen=True)
class Clip:
    """A video and how many frames it has."""

    path: Path
    frames: int


CLIP = Clip(CAMERA, FRAMES)


def make_clip(source: Path, target: Path, repeats: int, slower: int = 2) -> Clip:
    """The source's own packets again and again, `slower` times as slow so that two cores carry several sessions."""
    frames = 0
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        copy = writer.add_stream_from_template(video)
        packets = [packet for packet in reader.demux(video) if packet.dts is not None]
        length = len(packets) * (packets[0].duration or 0)
        first = packets[0].pts or 0
        stamps = [((packet.pts or 0) - first, packet.dts - first, packet.duration or 0) for packet in packets]
        for number in range(repeats):
            for packet, (pts, dts, duration) in zip(packets, stamps, strict=True):
                packet.stream = copy
                packet.time_base = Fraction(video.time_base or 1)
                packet.pts = slower * (pts + number * length)
                packet.dts = slower * (dts + number * length)
                packet.duration = slower * duration
                writer.mux(packet)
                frames += 1
    return Clip(target, frames)


class Stream:
    """One run of segclient on this machine."""

    def __init__(self, folder: Path, endpoint: str, clip: Clip, *options: str | Path) -> None:
        folder.mkdir(parents=True)
        self.clip = clip
        self.output = folder / "output.mp4"
        self._report = folder / "report.json"
        self._log = folder / "log"
        files = ("-sv", clip.path, "-o", self.output, "--report", self._report)
        # A pod's end is a pause, and here no frame may be dropped for the sake of the next.
        patient = ("--max-latency", "60") if "--live" in options else ()
        how = ("--effect", "mask", "--preset", "ultrafast", "--log-level", "info", *patient)
        command: list[str | Path] = [SEGCLIENT, "--endpoint", endpoint, *files, *how, *options]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """All that it printed."""
        return self._log.read_text()

    @property
    def report(self) -> Json:
        """What it wrote about its work."""
        report: Json = json.loads(self._report.read_text())
        return report

    @property
    def breaks(self) -> list[str]:
        """Each time that it lost its server without being told to go on elsewhere."""
        return [line for line in self.said.splitlines() if "going on from packet" in line and "drains" not in line]

    def wait(self, timeout_seconds: float) -> int:
        """Its status, once it has ended."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"a stream goes on after {timeout_seconds:g} s and said:\n{self.said}") from None

    def stop(self) -> None:
        """Ends it as Ctrl-C does."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self, timeout_seconds: float = 150) -> Json:
        """Waits; every frame must have come back, once and in order, with nothing for a person to do."""
        status = self.wait(timeout_seconds)
        assert status == 0, f"segclient ended with status {status} and said:\n{self.said}"
        report = self.report
        assert report["frames_in"] == report["frames_out"] == self.clip.frames, report
        assert not report["frames_dropped"], report
        assert shown_times(self.output) == shown_times(self.clip.path)
        return report


def check_all(running: list[Stream], *, are_told: bool = True) -> list[int]:
    """Every session is whole, and no server left one without telling it first; returns how often each moved."""
    resumes: list[int] = [stream.check()["resumes"] for stream in running]
    log.info("sessions went on elsewhere so many times: %s", resumes)
    if are_told:
        assert not [line for stream in running for line in stream.breaks]
    return resumes


class Streams:
    """All runs of a test, ended with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.all: list[Stream] = []

    def start(self, endpoint: str, clip: Clip, *options: str | Path, count: int = 1) -> list[Stream]:
        """Begins as many sessions, a little apart, as people would."""
        started = []
        for _ in range(count):
            started.append(Stream(self._folder / f"stream-{len(self.all)}", endpoint, clip, *options))
            self.all.append(started[-1])
            time.sleep(0.3)
        return started

    def stop(self) -> None:
        """Ends what still runs."""
        for stream in self.all:
            if stream.is_running:
                stream.stop()


def shown_times(path: Path) -> list[Fraction]:
    """When each picture of a video is shown, from its first on, in the order in which a decoder gives them."""
    with av.open(str(path)) as reader:
        times = [(frame.pts or 0) * Fraction(frame.time_base or 1) for frame in reader.decode(video=0)]
    assert times == sorted(set(times)), f"{path} shows pictures twice, or in another order"
    # Containers round to their own time base.
    return [round((time - times[0]) * 1000) * Fraction(1, 1000) for time in times]
