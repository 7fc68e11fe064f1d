from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from client_clips import CFR, LATE, TIME_BASE, VFR, audio_packets, frame_times, make_clip, rotation_of
from echo_service import EchoService, make_mask

from segtriton_client import (
    Endpoint,
    IntegrityError,
    Job,
    ServiceLostError,
    ServiceUnavailableError,
    StoppedError,
    segment_file,
    segment_frames,
    segment_video,
)
from segtriton_protocol import ErrorCode, SegtritonError


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("stamps", "time_base"),
    [(CFR, TIME_BASE), (VFR, TIME_BASE), (LATE, TIME_BASE), (tuple(range(15)), Fraction(1001, 30000))],
    ids=["cfr", "vfr", "late", "ntsc"],
)
def test_timestamps_and_audio_come_back_exactly(serve, tmp_path: Path, ending, stamps, time_base) -> None:
    clip = make_clip(tmp_path / f"clip{ending}", stamps, time_base=time_base, audio=True)
    output = tmp_path / f"out{ending}"

    report = segment_file(serve(EchoService()), clip, output)

    assert frame_times(output) == frame_times(clip)
    assert audio_packets(output) == audio_packets(clip)
    assert (report.frames_in, report.frames_out, report.frames_dropped) == (len(stamps), len(stamps), {})


def test_the_pixel_format_is_named_as_a_hint(serve, tmp_path: Path) -> None:
    service = EchoService()
    segment_file(serve(service), make_clip(tmp_path / "clip.mp4"), tmp_path / "out.mp4")

    assert service.opened[0].video.pixel_format == "yuv420p"


def test_matroska_keeps_its_own_times(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", tuple(range(0, 800, 41)), time_base=Fraction(1, 1000), audio=True)

    segment_file(serve(EchoService()), clip, tmp_path / "out.mkv")

    assert frame_times(tmp_path / "out.mkv") == frame_times(clip)
    assert audio_packets(tmp_path / "out.mkv") == audio_packets(clip)


def test_transport_stream_times_are_exact_in_mp4(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", tuple(range(7, 90007, 6001)), time_base=Fraction(1, 90000))

    segment_file(serve(EchoService()), clip, tmp_path / "out.mp4")

    assert frame_times(tmp_path / "out.mp4") == frame_times(clip)


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_turned_clip_stays_turned(serve, tmp_path: Path, ending, rotation) -> None:
    service = EchoService()
    clip = make_clip(tmp_path / f"clip{ending}", rotation=rotation)

    segment_file(serve(service), clip, tmp_path / f"out{ending}")

    assert rotation_of(tmp_path / f"out{ending}") == rotation_of(clip) != 0
    assert service.opened[0].video.rotation == -rotation % 360


def test_a_mask_becomes_a_lossless_grey_video(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", VFR)

    report = segment_file(serve(EchoService(sends_masks=True)), clip, tmp_path / "out.mp4")

    assert report.output_codec == "rawmask_zlib"
    assert frame_times(tmp_path / "out.mp4") == frame_times(clip)
    with av.open(str(tmp_path / "out.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            assert np.array_equal(frame.to_ndarray(format="gray"), make_mask(number))


def test_dropped_frames_are_counted(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", b_frames=0)

    report = segment_file(serve(EchoService(drop_seqs=(19,))), clip, tmp_path / "out.mp4")

    assert report.frames_dropped == {"damaged": 1}
    assert report.lost_frames == 1
    assert frame_times(tmp_path / "out.mp4") == frame_times(clip)[:-1]


@pytest.mark.parametrize(
    ("service", "error"),
    [
        (EchoService(fail_after=5), SegtritonError),
        (EchoService(abort_after=1), ServiceLostError),
        (EchoService(digest=lambda digest: "0" * 64), IntegrityError),
    ],
    ids=["failed", "lost", "wrong-digest"],
)
def test_failure_leaves_no_file(serve, tmp_path: Path, service, error) -> None:
    # Two messages: the service that is lost has answered one.
    clip = make_clip(tmp_path / "clip.mp4", range(0, 24 * 512, 512), audio=True)

    with pytest.raises(error):
        segment_file(serve(service), clip, tmp_path / "out.mp4")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]


def test_failed_session_raises_the_servers_error(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")

    with pytest.raises(SegtritonError) as caught:
        segment_file(serve(EchoService(fail_after=1)), clip, tmp_path / "out.mp4")

    assert caught.value.code is ErrorCode.WORKER_LOST


def test_nobody_at_the_endpoint(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")

    with pytest.raises(ServiceUnavailableError):
        segment_file("127.0.0.1:1", clip, tmp_path / "out.mp4")


async def test_cancelling_cancels_the_session_and_leaves_at_most_a_part(serve, tmp_path: Path) -> None:
    service = EchoService()
    clip = make_clip(tmp_path / "clip.mp4", range(0, 12800 * 60, 12800), b_frames=0)
    task = asyncio.create_task(segment_video(serve(service), Job(clip, tmp_path / "out.mp4", live=True)))
    while "packets" not in service.kinds:
        await asyncio.sleep(0.01)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert service.cancels == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"clip.mp4", "out.part.mp4"}


@pytest.mark.parametrize(
    "words",
    [
        "Stub process 'selfie_streaming_0_0' is not healthy",
        "Request for unknown model: 'selfie_streaming' has no available versions",
    ],
)
def test_a_server_that_cannot_serve_now_is_no_refusal(serve, tmp_path: Path, words: str) -> None:
    clip = make_clip(tmp_path / "clip.mp4")

    with pytest.raises(ServiceUnavailableError, match="stops"):
        segment_file(serve(EchoService(stream_error=words)), clip, tmp_path / "out.mp4")


def test_token_travels_as_metadata(serve, tmp_path: Path) -> None:
    service = EchoService()
    clip = make_clip(tmp_path / "clip.mp4")

    segment_file(Endpoint(serve(service), token="abc"), clip, tmp_path / "out.mp4")

    assert service.metadata["authorization"] == "Bearer abc"


async def test_a_models_typed_refusal_keeps_its_code(serve, tmp_path: Path) -> None:
    service = EchoService(refusal="UNKNOWN_CLASS: No class 'zebra'. Choose one of the class names in the message.")
    clip = make_clip(tmp_path / "clip.mp4")

    with pytest.raises(SegtritonError) as caught:
        await segment_frames(serve(service), Job(clip, tmp_path / "out.mp4"))

    assert (caught.value.code, caught.value.message) == (ErrorCode.UNKNOWN_CLASS, "No class 'zebra'.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4"]


@pytest.mark.parametrize("work", [segment_video, segment_frames])
def test_a_job_that_is_told_to_stop_finishes_what_is_on_its_way(serve, tmp_path: Path, work) -> None:
    many = range(0, 400 * 512, 512)
    job = Job(
        make_clip(tmp_path / "clip.mp4", many),
        tmp_path / "out.mp4",
        on_progress=lambda _: job.stopping.set(),
    )
    with pytest.raises(StoppedError, match="Stopped after") as stopped:
        asyncio.run(work(serve(EchoService()), job))

    times = frame_times(tmp_path / "out.part.mp4")
    assert f"after {len(times)} frames" in stopped.value.message
    assert 0 < len(times) < len(many)
    assert not job.output.exists()


def test_a_job_that_is_told_to_stop_when_all_is_read_is_whole(serve, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    job = Job(clip, tmp_path / "out.mp4", on_progress=lambda now: now.frames_done == len(CFR) and job.stopping.set())
    asyncio.run(segment_video(serve(EchoService()), job))

    assert frame_times(job.output) == frame_times(clip)
