"""Whatever a client sends or leaves unread: memory stays bounded, it gets a typed error, and others do not notice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bombs import BOMBS, Bomb, large_clip
from process_tree import holdings, wait_until, worker_pids
from raw_client import Clip, RawStream, Run, follow, read_clip, stream_clip

from segtriton_protocol import End, ErrorCode, Failed, Output, Packet, Packets, SegtritonError
from segtriton_protocol.tensors import PARAMETER_MESSAGE, PARAMETER_PROTOCOL, PARAMETER_SESSION
from segtriton_server.launch import LaunchSettings, TritonProcess

ReadMetrics = Callable[[TritonProcess], dict[str, float]]
CLIP = read_clip("carphone_pristine.mp4")
MIB = 1 << 20
# Triton sends the responses of one model by so many threads.
THREAD_POOL = 32
STALLED = 2 * THREAD_POOL
WINDOW_BYTES = MIB

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def bounded(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    settings = server_settings(
        workers=2, stream_slots=STALLED + 4, window_packets=24, window_bytes=WINDOW_BYTES, idle_timeout=20
    )
    with TritonProcess(settings) as running:
        yield running


@pytest.fixture(scope="module")
def solo(bounded: TritonProcess) -> Run:
    """What a client gets that is alone."""
    return stream_clip(bounded.grpc_address, CLIP)


@pytest.fixture(autouse=True)
def _others_do_not_notice(bounded: TritonProcess, solo: Run, read_metrics: ReadMetrics) -> Iterator[None]:
    """A neighbour streams all the while, one session after another, and gets what it would get alone."""
    workers = worker_pids(bounded.pid)
    is_over = threading.Event()

    def stream_on() -> list[Run]:
        runs = []
        while not (runs and is_over.is_set()):
            runs.append(stream_clip(bounded.grpc_address, CLIP))
        return runs

    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(stream_on)
        try:
            yield
        finally:
            is_over.set()
        assert all(run.payloads == solo.payloads for run in neighbour.result())
    assert wait_until(lambda: read_metrics(bounded)["segtriton_active_streams"] == 0)
    assert worker_pids(bounded.pid) == workers


def failure(stream: RawStream) -> SegtritonError:
    while not isinstance(answer := stream.receive(60), Failed):
        assert isinstance(answer, Output)
    return answer.error


def resident(server: TritonProcess) -> int:
    return holdings(server.pid).resident_bytes


def test_readers_who_stall(bounded: TritonProcess, read_metrics: ReadMetrics) -> None:
    before = resident(bounded)
    with ExitStack() as clients:
        stalled = [clients.enter_context(RawStream(bounded.grpc_address, lazy=True)) for _ in range(STALLED)]
        for stream in stalled:
            opened = stream.open(CLIP)
            stream.send(Packets(opened.session_id, CLIP.packets[: opened.credit.packets]))

        # All are there and unread, and none has waited so long that it counts as idle.
        assert read_metrics(bounded)["segtriton_active_streams"] >= STALLED
        assert resident(bounded) - before < STALLED * 12 * MIB

        assert wait_until(lambda: read_metrics(bounded)["segtriton_active_streams"] < STALLED / 2, 60)
        assert {failure(stream).code for stream in stalled} == {ErrorCode.IDLE_TIMEOUT}


def test_a_reader_who_stalls_and_sends_on(bounded: TritonProcess) -> None:
    clip = read_clip("bikes.mp4")
    with RawStream(bounded.grpc_address) as stream, pytest.raises(SegtritonError) as caught:
        # It takes the credit that the answers bring, and never says that it has read them.
        follow(stream, clip, stream.open(clip), says_received=False)
    assert caught.value.code is ErrorCode.SLOW_CONSUMER


def test_a_sender_who_heeds_no_credit(bounded: TritonProcess) -> None:
    before = resident(bounded)
    most = before
    with RawStream(bounded.grpc_address) as stream:
        opened = stream.open(CLIP)
        flood = replace(CLIP.packets[0], payload=bytes(MIB))
        for seq in range(400):
            stream.send(Packets(opened.session_id, (replace(flood, seq=seq),)))
            if seq % 50 == 0:
                most = max(most, resident(bounded))
        codes = [failure(stream).code for _ in range(398)]

    assert codes.count(ErrorCode.WINDOW_EXCEEDED) == 1
    assert set(codes) == {ErrorCode.WINDOW_EXCEEDED, ErrorCode.UNKNOWN_SESSION}
    assert most - before < 200 * MIB


def test_a_message_beyond_all_measure(server: TritonProcess) -> None:
    with RawStream(server.grpc_address) as stream:
        opened = stream.open(CLIP)
        stream.send(Packets(opened.session_id, (replace(CLIP.packets[0], payload=bytes(256 * MIB)),)))
        assert failure(stream).code is ErrorCode.WINDOW_EXCEEDED


@pytest.mark.parametrize("kind", ["open", "packets", "end"])
def test_json_beyond_all_measure(bounded: TritonProcess, kind: str) -> None:
    with RawStream(bounded.grpc_address) as stream:
        session = "" if kind == "open" else stream.open(CLIP).session_id
        parameters = {PARAMETER_PROTOCOL: 1, PARAMETER_MESSAGE: kind, PARAMETER_SESSION: session}
        stream.send_raw(parameters, {"MESSAGE": np.full(64 * MIB, ord("["), np.uint8)})
        assert failure(stream).code is ErrorCode.INVALID_MESSAGE


def test_a_million_packets_in_one_message(bounded: TritonProcess) -> None:
    count = 1_000_000
    index = np.zeros((count, 6), np.int64)
    index[:, 0], index[:, 1] = np.arange(count), 1
    with RawStream(bounded.grpc_address) as stream:
        message = Packets(stream.open(CLIP).session_id, ())
        stream.send_raw(
            message.to_parameters(),
            {**message.to_tensors(), "PACKET_INDEX": index, "PACKET_IN": np.zeros(count, np.uint8)},
        )
        assert failure(stream).code is ErrorCode.INVALID_PACKET


def test_many_tiny_packets_within_the_credit(server: TritonProcess) -> None:
    packets = tuple(Packet(seq, seq, seq, 1, seq == 0, b"\0") for seq in range(10_000))
    with RawStream(server.grpc_address) as stream, pytest.raises(SegtritonError) as caught:
        follow(stream, replace(CLIP, packets=packets), stream.open(CLIP))
    assert caught.value.code is ErrorCode.DECODE_FAILED


def test_numbers_skipped_cost_no_more_than_a_message_may(bounded: TritonProcess) -> None:
    with RawStream(bounded.grpc_address) as stream:
        opened = stream.open(CLIP)
        stream.send(
            Packets(opened.session_id, tuple(replace(CLIP.packets[0], seq=9_000 * number) for number in range(20)))
        )
        assert failure(stream).code is ErrorCode.INVALID_PACKET


def test_a_message_that_cannot_be_read_frees_the_slot_at_once(small_server: TritonProcess) -> None:
    for _ in range(8):  # it has two slots
        with RawStream(small_server.grpc_address) as stream:
            opened = stream.open(CLIP)
            stream.send_raw(Packets(opened.session_id, ()).to_parameters(), {})
            codes = [failure(stream).code, failure(stream).code]
        # The request's own answer, and the session's.
        assert codes == [ErrorCode.INVALID_MESSAGE] * 2


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_picture_that_would_fill_the_memory(bounded: TritonProcess, bomb: Bomb) -> None:
    """A few bytes say that the picture has hundreds of millions of pixels."""
    peaks = [peak(pid) for pid in worker_pids(bounded.pid)]
    clip = Clip(bomb.video, bomb.packets)
    with pytest.raises(SegtritonError) as caught:
        stream_clip(bounded.grpc_address, clip)
    assert caught.value.code in (ErrorCode.DECODE_FAILED, ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.LIMIT_EXCEEDED)
    for pid, before in zip(worker_pids(bounded.pid), peaks, strict=True):
        assert peak(pid) - before < 64 * MIB


def peak(pid: int) -> int:
    """The most memory that a process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.fixture
def narrow(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    """A server whose worker holds small sessions, as many as there are slots, and few that turn out large."""
    with TritonProcess(server_settings(workers=1, stream_slots=6, worker_memory_bytes=400 * MIB)) as running:
        yield running


def test_pictures_that_turn_out_larger_than_was_said_meet_the_workers_bound(narrow: TritonProcess) -> None:
    # What OPEN says is counted (tests/integration/test_memory.py); here it is a lie.
    large = large_clip()
    large = replace(large, format=replace(large.format, width=64, height=48))

    def outcome(_: int) -> ErrorCode | None:
        try:
            stream_clip(narrow.grpc_address, large)
        except SegtritonError as error:
            return error.code
        return None

    with ThreadPoolExecutor(6) as pool:
        outcomes = set(pool.map(outcome, range(6)))

    # Where it is the worker's own work that has no room, it is replaced.
    assert outcomes <= {None, ErrorCode.RESOURCE_EXHAUSTED, ErrorCode.WORKER_LOST, ErrorCode.DECODE_FAILED}
    assert outcomes != {None}
    assert wait_until(lambda: bool(worker_pids(narrow.pid)))
    assert stream_clip(narrow.grpc_address, CLIP).pts == CLIP.pts


def test_end_of_nothing_is_still_the_end(bounded: TritonProcess) -> None:
    with RawStream(bounded.grpc_address) as stream:
        opened = stream.open(CLIP)
        stream.send(End(opened.session_id, 10**9))
        assert failure(stream).code is ErrorCode.INVALID_MESSAGE
