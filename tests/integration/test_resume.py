"""Runs that outlive the server they began on; two real servers stand for two pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from process_tree import wait_until
from servers import metrics_of, start_together

from segtriton_client.demuxer import Demuxer
from segtriton_client.job import Job, Progress
from segtriton_client.report import Report
from segtriton_client.resuming import Connect
from segtriton_client.segmentation import stream_file
from segtriton_client.transport import GrpcTransport
from segtriton_protocol import ErrorCode, OutputSpec, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.launch.drain import main as segtriton_drain

CLIPS = Path(__file__).parents[2] / ".assets" / "clips"
# The first has one group of pictures, the second three B-frames between references.
NAMES = ["carphone_pristine.mp4", "bikes.mp4"]
Settings = Callable[..., LaunchSettings]

pytestmark = pytest.mark.timeout(120)


class Pods:
    """Two servers; connections go to the first until it is out of use, as a Service's would."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.drain_file = folder / "draining"
        self._servers = [TritonProcess(settings(workers=1, drain_file=self.drain_file)), TritonProcess(settings())]
        self.current = 0

    @property
    def first(self) -> TritonProcess:
        return self._servers[0]

    def start(self) -> None:
        start_together(self._servers)

    def take_no_session(self, draining: bool) -> None:
        """Let the first server drain, or not, and wait until it knows."""
        if draining:
            self.drain_file.write_text("drain")
        else:
            self.drain_file.unlink()
        assert wait_until(lambda: metrics_of(self.first)["segtriton_draining"] == draining)

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    def connect(self) -> Connect:
        @asynccontextmanager
        async def connection() -> AsyncIterator[GrpcTransport]:
            async with GrpcTransport(self._servers[self.current].grpc_address) as transport:
                yield transport

        return connection


@pytest.fixture
def pods(server_settings: Settings, tmp_path: Path) -> Iterator[Pods]:
    pods = Pods(server_settings, tmp_path)
    try:
        pods.start()
        yield pods
    finally:
        pods.stop()


def stream_job(pods: Pods, job: Job) -> Report:
    async def run() -> Report:
        with Demuxer(job.input) as demuxer:
            return await stream_file(pods.connect(), demuxer, job)

    return asyncio.run(run())


def stream(pods: Pods, clip: Path, output: Path, trouble: Callable[[], None], after: int = 20) -> Report:
    """Stream a clip; when so many frames are back, make trouble."""
    pending = iter([trouble])

    def watch(progress: Progress) -> None:
        if progress.frames_done >= after and (cause := next(pending, None)):
            cause()

    return stream_job(pods, live_job(clip, output, watch))


def live_job(clip: Path, output: Path, watch: Callable[[Progress], None]) -> Job:
    """A live one that is patient: a server's end is a pause, for which no frame is dropped here."""
    return Job(clip, output, OutputSpec(preset="ultrafast"), live=True, max_latency=60, on_progress=watch)


def timestamps(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    return sorted(stamps)


def check_whole(report: Report, clip: Path, output: Path) -> None:
    """Every frame is there, once, in order, at its own time, and can be decoded."""
    expected = timestamps(clip)
    with av.open(str(output)) as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert shown == expected
    assert (report.frames_in, report.frames_out) == (len(expected), len(expected))
    assert not report.frames_dropped


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_drains_hands_its_sessions_on(
    name: str, pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    monkeypatch.setenv("SEGTRITON_DRAIN_FILE", str(pods.drain_file))
    options = ["--endpoint-delay", "0", "--max-wait", "60", "--metrics-url", pods.first.metrics_url]
    draining: list[Future[None]] = []

    with ThreadPoolExecutor(1) as pool:

        def drain() -> None:
            pods.current = 1
            draining.append(pool.submit(segtriton_drain, options))

        report = stream(pods, CLIPS / name, output, drain)

    check_whole(report, CLIPS / name, output)
    assert report.resumes == 1
    draining[0].result()
    # Now it can be stopped, and nobody is there to be hurt.
    assert pods.first.stop() == 0


def test_a_server_that_keeps_one_of_two_sessions_hands_the_other_on(
    pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = CLIPS / NAMES[0]
    monkeypatch.setenv("SEGTRITON_DRAIN_FILE", str(pods.drain_file))
    outputs = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    begun: set[int] = set()

    async def run(number: int) -> Report:
        def watch(progress: Progress) -> None:
            if progress.frames_done >= 20 and number not in begun:
                begun.add(number)
                if len(begun) == len(outputs):
                    pods.current = 1
                    segtriton_drain(["--keep", "1", "--max-wait", "60"])

        with Demuxer(clip) as demuxer:
            return await stream_file(pods.connect(), demuxer, live_job(clip, outputs[number], watch))

    async def run_both() -> list[Report]:
        return await asyncio.gather(run(0), run(1))

    reports = asyncio.run(run_both())

    for report, output in zip(reports, outputs, strict=True):
        check_whole(report, clip, output)
    assert sorted(report.resumes for report in reports) == [0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_dies_costs_no_frame(name: str, pods: Pods, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"

    def kill() -> None:
        pods.current = 1
        pods.first.kill()

    report = stream(pods, CLIPS / name, output, kill)

    check_whole(report, CLIPS / name, output)
    assert report.resumes == 1


def test_another_server_draws_all_effects_with_the_background_of_each_frames_time(pods: Pods, tmp_path: Path) -> None:
    clip, background = CLIPS / NAMES[0], write_colors(tmp_path / "colors.mp4")
    outputs = [tmp_path / "image.mp4", tmp_path / "mask.mp4"]

    def kill() -> None:
        pods.current = 1
        pods.first.kill()

    pending = iter([kill])

    def watch(progress: Progress) -> None:
        if progress.frames_done >= 20 and (cause := next(pending, None)):
            cause()

    spec = OutputSpec(effect="image", more_effects=("mask",), preset="ultrafast")
    job = Job(clip, outputs[0], spec, live=True, max_latency=60, on_progress=watch)
    report = stream_job(pods, replace(job, background=background, more_outputs=(outputs[1],)))

    assert report.resumes == 1
    assert report.drawn_here == ()
    for output in outputs:
        check_whole(report, clip, output)
    with av.open(str(outputs[0])) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")[:16, :16]) for frame in container.decode(video=0)]
    seen = ["red" if corner[..., 0].mean() > corner[..., 1].mean() else "green" for _, corner in frames]
    # A tick of the clip's clock may be a little before the beginning of a colour.
    assert seen == [("green", "red")[int(time * 5 + 1e-3) % 2] for time, _ in frames]


def write_colors(path: Path) -> Path:
    """Green and red, a fifth of a second each."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height = 176, 144
        for color in ((0, 177, 64), (200, 20, 20)):
            frame = av.VideoFrame.from_ndarray(np.full((144, 176, 3), color, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_draining_server_takes_no_session(pods: Pods, tmp_path: Path) -> None:
    pods.take_no_session(True)
    job = Job(CLIPS / NAMES[0], tmp_path / "out.mp4", resume_seconds=0.5)

    with pytest.raises(SegtritonError) as caught:
        stream_job(pods, job)
    assert caught.value.code is ErrorCode.DRAINING

    pods.take_no_session(False)
    assert stream_job(pods, job).resumes == 0


def test_a_run_gives_up_where_no_server_is_left(pods: Pods, tmp_path: Path) -> None:
    job = Job(
        CLIPS / NAMES[0], tmp_path / "out.mp4", live=True, on_progress=lambda _: pods.first.kill(), resume_seconds=1.0
    )
    with pytest.raises(ConnectionError):
        stream_job(pods, job)
    assert not list(tmp_path.glob("*.mp4"))
