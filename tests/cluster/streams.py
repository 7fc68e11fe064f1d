"""segclient as people run it: from outside the cluster as processes of this machine, from inside as pods."""

import json
import logging
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from lab.kubernetes import Json
from lab.settings import REPOSITORY
from lab.shell import LabError

log = logging.getLogger(__name__)

SOURCE = REPOSITORY / ".assets" / "clips" / "carphone_pristine.mp4"
FRAMES = 120
SEGCLIENT = Path(sys.executable).with_name("segclient")


@dataclass(frozen=True)
class Clip:
    """A video and how many frames it has; one without an end is sent as a camera's, until its stream is finished."""

    path: Path
    frames: int
    is_endless: bool = False


CLIP = Clip(SOURCE, FRAMES)


def make_camera(target: Path, seconds: float, slower: int = 2) -> Clip:
    """The source's own packets again and again, `slower` times as slow so that two cores carry several sessions."""
    frames = 0
    with av.open(str(SOURCE)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        copy = writer.add_stream_from_template(video)
        packets = [packet for packet in reader.demux(video) if packet.dts is not None]
        length = len(packets) * (packets[0].duration or 0)
        first = packets[0].pts or 0
        stamps = [((packet.pts or 0) - first, packet.dts - first, packet.duration or 0) for packet in packets]
        for number in range(round(seconds / (slower * length * packets[0].time_base))):
            for packet, (pts, dts, duration) in zip(packets, stamps, strict=True):
                packet.stream = copy
                packet.time_base = Fraction(video.time_base or 1)
                packet.pts = slower * (pts + number * length)
                packet.dts = slower * (dts + number * length)
                packet.duration = slower * duration
                writer.mux(packet)
                frames += 1
    return Clip(target, frames, is_endless=True)


class Stream:
    """One run of segclient on this machine."""

    def __init__(self, folder: Path, endpoint: str, clip: Clip, *options: str | Path) -> None:
        folder.mkdir(parents=True)
        self.clip = clip
        self.output = folder / "output.mp4"
        self._report = folder / "report.json"
        self._log = folder / "log"
        self._is_finishing = False
        files = ("-sv", "-" if clip.is_endless else clip.path, "-o", self.output, "--report", self._report)
        # A pod's end is a pause, and here no frame may be dropped for the sake of the next.
        live = ("--live", "--max-latency", "60") if clip.is_endless else ()
        how = ("--effect", "mask", "--preset", "ultrafast", "--log-level", "info", *live)
        command: list[str | Path] = [SEGCLIENT, "--endpoint", endpoint, *files, *how, *options]
        with self._log.open("w") as log, clip.path.open("rb") as video:
            self._process = subprocess.Popen(
                command,
                stdin=video if clip.is_endless else subprocess.DEVNULL,
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
    def moves(self) -> int:
        """How often it went on elsewhere so far."""
        return self.said.count("going on from packet")

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

    def finish(self) -> None:
        """Lets a camera's stream send no more, as Ctrl-C does; what is on its way comes back. A file ends by itself."""
        if self.clip.is_endless and not self._is_finishing:
            self._process.send_signal(signal.SIGINT)  # a second one would end it at once
            self._is_finishing = True

    def stop(self) -> None:
        """Ends it, whatever becomes of its frames."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self, timeout_seconds: float = 150) -> Json:
        """Waits; every frame must have come back, once and in order, with nothing for a person to do."""
        self.finish()
        status = self.wait(timeout_seconds)
        assert status == 0, f"segclient ended with status {status} and said:\n{self.said}"
        report = self.report
        frames = report["frames_in"]
        assert report["frames_out"] == frames > 0, report
        assert self.clip.is_endless or frames == self.clip.frames, report
        assert not report["frames_dropped"], report
        assert shown_times(self.output) == sent_times(self.clip.path, frames)
        return report


def check_all(running: list[Stream], *, are_told: bool = True) -> list[int]:
    """Every session is whole, and no server left one without telling it first; returns how often each moved."""
    for stream in running:
        stream.finish()
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


def sent_times(path: Path, frames: int) -> list[Fraction]:
    """When each picture of a video's first packets is to be shown, from the first picture on, in that order."""
    with av.open(str(path)) as reader:
        packets = islice((packet for packet in reader.demux(video=0) if packet.size), frames)
        return from_first(sorted((packet.pts or 0) * packet.time_base for packet in packets))


def shown_times(path: Path) -> list[Fraction]:
    """When each picture of a video is shown, from its first on, in the order in which a decoder gives them."""
    with av.open(str(path)) as reader:
        times = [(frame.pts or 0) * Fraction(frame.time_base or 1) for frame in reader.decode(video=0)]
    assert times == sorted(set(times)), f"{path} shows pictures twice, or in another order"
    return from_first(times)


def from_first(times: list[Fraction]) -> list[Fraction]:
    """Times since the first, in whole milliseconds: containers round to their own time base."""
    return [round((time - times[0]) * 1000) * Fraction(1, 1000) for time in times]
