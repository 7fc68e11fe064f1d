"""What does not fit into the memory of the container is refused when it is opened; nobody is killed for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from bombs import large_clip
from process_tree import descendants, holdings, wait_until, worker_pids
from raw_client import Clip, RawStream, read_clip, stream_clip

from segtriton_protocol import Cancel, ErrorCode, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess

MIB = 1 << 20
POD = 2048 * MIB  # what the chart gives a pod on a CPU
CLIP = read_clip("carphone_pristine.mp4")
LARGEST = Clip(replace(CLIP.format, width=8192, height=4320), CLIP.packets)
REJECTED = "segtriton_streams_rejected_total"
ReadMetrics = Callable[[TritonProcess], dict[str, float]]


@pytest.fixture(scope="module")
def pod(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    with TritonProcess(server_settings(workers=2, memory_bytes=POD)) as running:
        yield running


def refusal(server: TritonProcess, clip: Clip) -> SegtritonError:
    with RawStream(server.grpc_address) as stream, pytest.raises(SegtritonError) as caught:
        stream.open(clip)
    return caught.value


def rejected(metrics: dict[str, float], code: ErrorCode) -> float:
    return sum(value for name, value in metrics.items() if name.startswith(REJECTED) and code.name in name)


def peak(server: TritonProcess) -> int:
    """The most memory that each of a server's processes has ever had, together."""
    status = "".join(Path(f"/proc/{pid}/status").read_text() for pid in descendants(server.pid))
    return sum(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def test_pictures_that_never_fit_are_refused_for_good(pod: TritonProcess, read_metrics: ReadMetrics) -> None:
    workers = worker_pids(pod.pid)
    before = rejected(read_metrics(pod), ErrorCode.LIMIT_EXCEEDED)
    with ThreadPoolExecutor(2) as pool:
        refused = list(pool.map(lambda _: refusal(pod, LARGEST), range(2)))

    assert {error.code for error in refused} == {ErrorCode.LIMIT_EXCEEDED}
    assert "MiB of memory" in refused[0].message
    assert worker_pids(pod.pid) == workers
    assert holdings(pod.pid).resident_bytes < 768 * MIB
    assert wait_until(lambda: rejected(read_metrics(pod), ErrorCode.LIMIT_EXCEEDED) == before + 2)
    assert stream_clip(pod.grpc_address, CLIP).pts == CLIP.pts


def test_what_fits_when_others_have_gone_may_come_again(pod: TritonProcess) -> None:
    large = large_clip()
    with ExitStack() as clients:
        streams = [clients.enter_context(RawStream(pod.grpc_address)) for _ in range(2)]
        opened = [stream.open(large) for stream in streams]  # one for each worker

        error = refusal(pod, large)
        assert error.code is ErrorCode.RESOURCE_EXHAUSTED
        assert error.retry_after_seconds

        streams[0].send(Cancel(opened[0].session_id))
        assert wait_until(lambda: fits(pod, large))


def fits(server: TritonProcess, clip: Clip) -> bool:
    """Whether a clip is served; one that is refused may come again, and any other error is raised."""
    try:
        return bool(stream_clip(server.grpc_address, clip).packets)
    except SegtritonError as error:
        if error.code is not ErrorCode.RESOURCE_EXHAUSTED:
            raise
        return False


def test_all_that_is_admitted_fits(pod: TritonProcess) -> None:
    workers = worker_pids(pod.pid)
    with ThreadPoolExecutor(12) as pool:
        large = [pool.submit(fits, pod, large_clip()) for _ in range(8)]
        small = [pool.submit(fits, pod, CLIP) for _ in range(4)]
        outcomes = [job.result(120) for job in large + small]

    assert sum(outcomes) >= 2
    assert worker_pids(pod.pid) == workers
    assert peak(pod) < POD
