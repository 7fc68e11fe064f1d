"""When the device's memory runs out, the session that asked for it ends, and nobody else."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from gpu_clips import make_clip
from gpu_service import MJPEG, STREAMING, check_whole, launch_settings, run_session, wait_idle
from process_tree import worker_pids
from raw_client import Clip, RawStream, Run

from segtriton_protocol import End, Ended, ErrorCode, Failed, Opened, Output, Packets, SegtritonError
from segtriton_server.launch import TritonProcess

pytestmark = pytest.mark.timeout(240)

MIB = 1 << 20
LEFT_FREE = 64 * MIB
GROUP = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    settings = launch_settings(tmp_path_factory.mktemp("server"), (STREAMING,), workers=1)
    with TritonProcess(settings) as running:
        yield running
        sys.stdout.write(running.log_tail())  # shown where a test has failed


@contextmanager
def device_memory_taken() -> Iterator[None]:
    """Takes all but a little of the device's memory."""
    taken: list[torch.Tensor] = []
    try:
        for size in (1024 * MIB, 64 * MIB, 16 * MIB):
            while torch.cuda.mem_get_info()[0] > size + LEFT_FREE:
                taken.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
        yield
    finally:
        taken.clear()
        torch.cuda.empty_cache()


def exchange(stream: RawStream, opened: Opened, clip: Clip, start: int, run: Run) -> None:
    """Send a group of packets from `start` on, and read until the group before it is back; after the last, all."""
    part = clip.packets[start : start + GROUP]
    stream.send(Packets(opened.session_id, part, received=len(run.packets)))
    if start + GROUP >= len(clip.packets):
        stream.send(End(opened.session_id, len(clip.packets)))
    while run.ended is None and (start + GROUP >= len(clip.packets) or len(run.packets) < start):
        take(stream, run)


def take(stream: RawStream, run: Run) -> None:
    match stream.receive(timeout=20):
        case Output() as output:
            run.packets += output.packets
            run.drops |= {drop.seq: drop.reason.value for drop in output.drops}
        case Ended() as ended:
            run.ended = ended
        case Failed() as failed:
            raise failed.error


def test_a_session_without_memory_ends_alone(server: TritonProcess) -> None:
    small, large = make_clip("h264_intra"), make_clip("h264_2160p")
    check_whole(run_session(server, small, MJPEG), small)  # kernels are loaded where they are first used
    workers = worker_pids(server.pid)

    with RawStream(server.grpc_address, STREAMING) as stream:
        run = Run(stream.open(small, MJPEG))
        starts = range(0, len(small.packets), GROUP)
        for start in starts[:2]:
            exchange(stream, run.opened, small, start, run)
        with device_memory_taken():
            with pytest.raises(SegtritonError) as caught:
                run_session(server, large, MJPEG)
            for start in starts[2:]:
                exchange(stream, run.opened, small, start, run)

    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert caught.value.retryable
    check_whole(run, small)
    assert worker_pids(server.pid) == workers

    wait_idle(server)
    check_whole(run_session(server, large, MJPEG), large)
