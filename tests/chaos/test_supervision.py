"""Whatever fails inside the router: a session ends, a worker is replaced, or the probe sees it; never nothing."""

from __future__ import annotations

import os
import queue
import resource
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import odd_worker
import pytest
import router_faults
from process_tree import descendants, wait_until, worker_pids
from raw_client import RawStream, read_clip, stream_clip
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from segtriton_protocol import ErrorCode, Failed, Output, Packets, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess

ReadMetrics = Callable[[TritonProcess], dict[str, float]]
Start = Callable[..., TritonProcess]
VICTIM = read_clip("carphone_pristine.mp4").head(40)
NEIGHBOUR = read_clip("bikes.mp4").head(60)
MAX_AGE_SECONDS = 4.0
MISSING = "segtriton_workers_missing"

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def heartbeat(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


@pytest.fixture
def trigger(tmp_path: Path) -> Path:
    return tmp_path / "trigger"


@pytest.fixture
def start(server_settings: Callable[..., LaunchSettings], tmp_path: Path, heartbeat: Path, trigger: Path) -> Start:
    def start(fault: str, **settings: object) -> TritonProcess:
        repository = router_faults.make_repository(tmp_path / "models", fault, trigger)
        launch = server_settings(**{"workers": 1, "heartbeat_file": heartbeat, **settings})
        return TritonProcess(replace(launch, model_repository=repository, models=(router_faults.MODEL,)))

    return start


def is_fresh(heartbeat: Path) -> bool:
    return heartbeat.exists() and time.time() - heartbeat.stat().st_mtime < MAX_AGE_SECONDS


def router_pid(server: TritonProcess) -> int:
    return next(
        pid
        for pid in descendants(server.pid)
        if b"selfie_streaming/1/model.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


@pytest.mark.parametrize("thread", ["close-requests", "watch-workers"])
def test_a_thread_of_the_router_that_ends_is_seen(start: Start, thread: str, heartbeat: Path, trigger: Path) -> None:
    with start(thread) as server, RawStream(server.grpc_address) as stream:
        opened = stream.open(VICTIM)
        assert wait_until(lambda: is_fresh(heartbeat))
        trigger.touch()
        stream.send(Packets(opened.session_id, VICTIM.packets[:4]))

        assert wait_until(lambda: not is_fresh(heartbeat))


def test_the_housekeeping_goes_on_once_it_can(start: Start, heartbeat: Path, trigger: Path) -> None:
    with start("housekeeping", idle_timeout=2) as server, RawStream(server.grpc_address) as stream:
        assert wait_until(lambda: is_fresh(heartbeat))
        trigger.touch()
        assert wait_until(lambda: not is_fresh(heartbeat))
        stream.open(VICTIM)
        while isinstance(failed := stream.receive(), Output):
            pass
        assert isinstance(failed, Failed)
        assert failed.error.code is ErrorCode.IDLE_TIMEOUT

        trigger.unlink()
        assert wait_until(lambda: is_fresh(heartbeat))
        assert stream_clip(server.grpc_address, VICTIM).pts == VICTIM.pts


def test_an_answer_that_cannot_be_sent_ends_one_session(start: Start, trigger: Path, read_metrics: ReadMetrics) -> None:
    with start("answers") as server, ThreadPoolExecutor(1) as pool, RawStream(server.grpc_address) as victim:
        alone = stream_clip(server.grpc_address, NEIGHBOUR)
        before = worker_pids(server.pid)
        opened = victim.open(VICTIM)
        trigger.touch()
        neighbour = pool.submit(stream_clip, server.grpc_address, NEIGHBOUR)
        victim.send(Packets(opened.session_id, VICTIM.packets))

        assert neighbour.result().payloads == alone.payloads
        assert wait_until(lambda: read_metrics(server)["segtriton_active_streams"] == 0)
        assert worker_pids(server.pid) == before
        trigger.unlink()
        assert stream_clip(server.grpc_address, VICTIM).pts == VICTIM.pts


def test_workers_come_back_once_the_router_may_open_files(
    server_settings: Callable[..., LaunchSettings], read_metrics: ReadMetrics
) -> None:
    with TritonProcess(server_settings(workers=2)) as server:
        router = router_pid(server)
        limits = resource.prlimit(router, resource.RLIMIT_NOFILE)
        open_files = len(list(Path(f"/proc/{router}/fd").iterdir()))
        resource.prlimit(router, resource.RLIMIT_NOFILE, (open_files - 2, limits[1]))
        for pid in worker_pids(server.pid):
            os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: read_metrics(server).get(MISSING) == 2)
        time.sleep(3)
        assert not worker_pids(server.pid)
        with pytest.raises(SegtritonError) as caught:
            stream_clip(server.grpc_address, VICTIM)
        assert caught.value.code is ErrorCode.WORKER_LOST

        resource.prlimit(router, resource.RLIMIT_NOFILE, limits)
        assert wait_until(lambda: read_metrics(server)[MISSING] == 0, 60)
        assert stream_clip(server.grpc_address, VICTIM).pts == VICTIM.pts


def test_an_open_that_is_never_answered_is_a_hang(
    server_settings: Callable[..., LaunchSettings], tmp_path: Path
) -> None:
    how, python = tmp_path / "how", tmp_path / "python"
    how.write_text("deaf")
    python.write_text(
        f'#!/bin/sh\ngrep -q deaf "{how}" && exec "{sys.executable}" "{odd_worker.__file__}" "{how}" "$@"\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    with TritonProcess(server_settings(workers=1, stage_deadline=3, python=python)) as server:
        how.write_text("real")
        with pytest.raises(SegtritonError) as caught:
            stream_clip(server.grpc_address, VICTIM)
        assert caught.value.code is ErrorCode.STAGE_TIMEOUT

        def serves() -> bool:
            try:
                return stream_clip(server.grpc_address, VICTIM).pts == VICTIM.pts
            except SegtritonError:
                return False

        assert wait_until(serves)


@pytest.mark.parametrize("digits", [str(2**62), str(2**63 - 1), str(2**63), 40 * "9", 5000 * "9"], ids=len)
def test_a_packet_number_out_of_bounds_costs_its_request_only(
    server: TritonProcess, digits: str, read_metrics: ReadMetrics
) -> None:
    alone = stream_clip(server.grpc_address, NEIGHBOUR).payloads
    before = worker_pids(server.pid)
    for video in range(2 * len(before)):
        with pytest.raises(InferenceServerException, match="INVALID_MESSAGE"):
            open_sample(server, f"{video}_{digits}")

    assert read_metrics(server)["segtriton_active_streams"] == 0
    assert stream_clip(server.grpc_address, NEIGHBOUR).payloads == alone
    assert worker_pids(server.pid) == before


def open_sample(server: TritonProcess, request_id: str) -> None:
    """Send a first packet in the sample's contract; raises the error that is answered."""
    arrived: queue.SimpleQueue[InferenceServerException | None] = queue.SimpleQueue()
    tensors = {
        "PACKET_IN": ("UINT8", np.frombuffer(b"\0\0\0\1\x67aaa", np.uint8)),
        "META0": ("INT32", np.array([1, 176, 144, 25, 100, 3, 4, 2, 2], np.int32)),
        "META1": ("INT64", np.array([1, 0, 0], np.int64)),
        "FIRST_PACKET": ("BOOL", np.array([True])),
    }
    inputs = [InferInput(name, list(array.shape), kind) for name, (kind, array) in tensors.items()]
    for made, (_, array) in zip(inputs, tensors.values(), strict=True):
        made.set_data_from_numpy(array)
    with InferenceServerClient(server.grpc_address) as client:
        client.start_stream(lambda result, error: arrived.put(error))
        client.async_stream_infer("selfie_streaming", inputs, request_id=request_id)
        error = arrived.get(timeout=20)
        client.stop_stream(cancel_requests=True)
    if error is not None:
        raise error
