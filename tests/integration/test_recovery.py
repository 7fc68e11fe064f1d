"""Workers die, clients die, sessions come and go: only what must be lost is lost, and nothing stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from process_tree import Holdings, holdings, wait_until, worker_pids
from raw_client import RawStream, Run, follow, read_clip, stream_clip

from segtriton_protocol import Cancel, ErrorCode, Failed, Output, OutputSpec, Packets, SegtritonError
from segtriton_server.launch import TritonProcess

ReadMetrics = Callable[[TritonProcess], dict[str, float]]
CLIP = read_clip("carphone_pristine.mp4")
LONG = read_clip("bikes.mp4")
MIB = 1 << 20
RESTARTS = "segtriton_worker_restarts_total"

# A client that sends half of its clip, says so, and then does nothing more.
STUCK_CLIENT = """
import sys, time
from raw_client import RawStream, Run, read_clip
from segtriton_protocol import Packets
clip = read_clip("carphone_pristine.mp4")
stream = RawStream(sys.argv[1])
opened = stream.open(clip)
stream.send(Packets(opened.session_id, clip.packets[:60]))
stream.receive()
print("sent", flush=True)
time.sleep(60)
"""


def test_a_killed_worker_costs_only_its_own_sessions(server: TritonProcess, read_metrics: ReadMetrics) -> None:
    before = read_metrics(server)
    victims = worker_pids(server.pid)
    assert len(victims) == 2

    def run(stream: RawStream) -> SegtritonError | Run:
        try:
            return follow(stream, LONG, stream.open(LONG, OutputSpec(preset="medium", crf=10)))
        except SegtritonError as error:
            return error

    with (
        RawStream(server.grpc_address) as first,
        RawStream(server.grpc_address) as second,
        ThreadPoolExecutor(2) as pool,
    ):
        running = [pool.submit(run, first), pool.submit(run, second)]
        assert wait_until(lambda: read_metrics(server)["segtriton_active_streams"] == 2)
        time.sleep(0.2)
        os.kill(victims[0], signal.SIGKILL)
        results = [job.result(60) for job in running]

    (error,) = (result for result in results if isinstance(result, SegtritonError))
    (whole,) = (result for result in results if not isinstance(result, SegtritonError))
    assert error.code is ErrorCode.WORKER_LOST
    assert error.retryable
    assert whole.pts == LONG.pts

    assert wait_until(lambda: len(worker_pids(server.pid)) == 2 and victims[0] not in worker_pids(server.pid))
    assert wait_until(lambda: count(read_metrics(server), RESTARTS) == count(before, RESTARTS) + 1)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: stream_clip(server.grpc_address, CLIP), range(2)))
    assert [one.pts for one in runs] == [CLIP.pts] * 2
    assert count(read_metrics(server), RESTARTS) == count(before, RESTARTS) + 1


def count(metrics: dict[str, float], name: str) -> float:
    return metrics.get(name, 0.0)


def test_a_killed_client_frees_its_slot_long_before_it_counts_as_idle(
    server: TritonProcess, read_metrics: ReadMetrics
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", STUCK_CLIENT, server.grpc_address]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "sent\n"
        assert read_metrics(server)["segtriton_active_streams"] == 1
        client.kill()

        assert wait_until(lambda: read_metrics(server)["segtriton_active_streams"] == 0)
    assert stream_clip(server.grpc_address, CLIP.head(20)).pts


def test_fifty_cancelled_sessions_leave_nothing_behind(server: TritonProcess, read_metrics: ReadMetrics) -> None:
    def cycle(number: int) -> None:
        with RawStream(server.grpc_address) as stream:
            opened = stream.open(CLIP)
            stream.send(Packets(opened.session_id, CLIP.packets[: 8 * (number % 5)]))
            if number % 2:
                stream.send(Cancel(opened.session_id))
                while isinstance(answer := stream.receive(), Output):
                    pass
                assert isinstance(answer, Failed)
                assert answer.error.code is ErrorCode.CANCELLED
            else:
                stream.cancel()
        if number % 4 == 0:
            assert wait_until(lambda: read_metrics(server)["segtriton_active_streams"] == 0)

    def settled() -> Holdings:
        assert wait_until(lambda: read_metrics(server)["segtriton_active_streams"] == 0)
        time.sleep(0.5)
        return holdings(server.pid)

    for number in range(10):
        cycle(number)
    before = settled()
    for number in range(50):
        cycle(number)
    wait_until(lambda: holdings(server.pid).model_threads <= before.model_threads)
    after = settled()

    assert after.model_threads <= before.model_threads
    assert after.threads <= before.threads + 16  # gRPC's pool comes and goes
    assert after.files <= before.files + 4
    assert after.shared_memory_entries <= before.shared_memory_entries + 1
    assert after.resident_bytes <= before.resident_bytes + 40 * MIB
    assert stream_clip(server.grpc_address, CLIP).pts == CLIP.pts
