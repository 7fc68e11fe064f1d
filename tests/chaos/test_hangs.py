"""A call that never returns, in each stage: it is cut, its worker replaced, and the neighbours go on.

And a decoder that a hostile stream has taken over: it reaches nothing, and it harms nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import break_in
import hanging_worker
import pytest
from process_tree import wait_until, worker_pids
from raw_client import read_clip, stream_clip

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.workers.channel import STAGES

VICTIM = read_clip("carphone_pristine.mp4").head(30)
NEIGHBOUR = read_clip("bikes.mp4").head(60)
DEADLINE = 4.0

pytestmark = pytest.mark.timeout(120)


def is_confined(pid: int) -> bool:
    return "\nSeccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()


@pytest.fixture
def start(server_settings: Callable[..., LaunchSettings], tmp_path: Path) -> Callable[..., TritonProcess]:
    def start(stage: str, how: str, **settings: object) -> TritonProcess:
        python = hanging_worker.make_python(tmp_path, stage, how)
        settings = {"stage_deadline": DEADLINE, **settings}
        return TritonProcess(server_settings(workers=2, python=python, **settings))

    return start


CASES = [(stage, "sleeping") for stage in hanging_worker.STAGES] + [("decode", "holding the interpreter")]


@pytest.mark.parametrize(("stage", "how"), CASES)
def test_a_call_that_never_returns(
    stage: str,
    how: str,
    start: Callable[..., TritonProcess],
    read_metrics: Callable[[TritonProcess], dict[str, float]],
) -> None:
    with start(stage, how) as server, ThreadPoolExecutor(1) as pool:
        alone = stream_clip(server.grpc_address, NEIGHBOUR)
        before = worker_pids(server.pid)
        # The neighbour has the other worker, as that one has fewer sessions.
        victim = pool.submit(stream_clip, server.grpc_address, VICTIM)
        assert wait_until(lambda: read_metrics(server)["segtriton_active_streams"] == 1)
        while not victim.done():
            assert stream_clip(server.grpc_address, NEIGHBOUR).payloads == alone.payloads

        with pytest.raises(SegtritonError) as caught:
            victim.result()
        assert caught.value.code is ErrorCode.STAGE_TIMEOUT
        assert caught.value.retryable

        assert wait_until(lambda: len(set(worker_pids(server.pid)) - set(before)) == 1)
        assert wait_until(lambda: read_metrics(server)["segtriton_worker_restarts_total"] == 1)
        assert len(set(worker_pids(server.pid)) & set(before)) == 1
        assert stream_clip(server.grpc_address, NEIGHBOUR).payloads == alone.payloads


@pytest.mark.parametrize("confinement", ["auto", "off"])
def test_a_decoder_that_was_taken_over_reaches_nothing(
    confinement: str, start: Callable[..., TritonProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks for keys, other clients' messages, the network, other processes, and ways around each refusal."""
    (tmp_path / hanging_worker.SECRET_FILE).write_text(hanging_worker.SECRET)
    for name in ("SEGTRITON_ADMIN_KEY", "AWS_SECRET_ACCESS_KEY", "NVIDIA_API_KEY"):
        monkeypatch.setenv(name, hanging_worker.SECRET)
    key = f"--grpc-restricted-protocol=model-repository:segtriton-admin-key={hanging_worker.SECRET}"
    # What it tries takes seconds where nothing is refused, and longer on a busy machine.
    settings = {
        "confinement": confinement,
        "jwt_issuer": hanging_worker.SECRET,
        "triton_args": (key,),
        "stage_deadline": 10 * DEADLINE,
    }
    with start("decode", "breaking in", **settings) as server:
        assert len(stream_clip(server.grpc_address, VICTIM).packets) == len(VICTIM.packets)
        assert server.log_path is not None
        _, _, report = server.log_path.read_text().partition(hanging_worker.BREAK_IN_REPORT)
    outcome = json.loads(report.partition("\n")[0])

    assert outcome["told"] == []
    if confinement == "auto":
        acts = {*break_in.SYSTEM_CALLS, *break_in.KERNEL, *break_in.FILES_TO_READ, "a key"}
        assert set(outcome["refused"]) == acts
    else:
        assert set(outcome["refused"]) <= break_in.MAY_BE_REFUSED


@pytest.fixture(scope="module")
def hostile_server(
    server_settings: Callable[..., LaunchSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonProcess]:
    """A server whose workers turn hostile as the victim's frame rate says."""
    python = hanging_worker.make_python(tmp_path_factory.mktemp("hostile"), "decode", "hostile")
    with TritonProcess(server_settings(workers=2, worker_memory_bytes=512 << 20, python=python)) as server:
        yield server


@pytest.mark.parametrize("act", hanging_worker.HOSTILE)
def test_a_worker_that_turns_hostile_ends_alone(
    act: str, hostile_server: TritonProcess, read_metrics: Callable[[TritonProcess], dict[str, float]]
) -> None:
    """It writes what no worker writes, or takes more than its share: it is replaced, and its neighbours go on."""
    address, log = hostile_server.grpc_address, hostile_server.log_path
    assert log is not None
    # Victim and neighbour get a worker each. One that has replaced another is confined just before it is ready.
    assert wait_until(lambda: [is_confined(pid) for pid in worker_pids(hostile_server.pid)] == [True, True])
    alone, before = stream_clip(address, NEIGHBOUR), worker_pids(hostile_server.pid)
    restarts = read_metrics(hostile_server)["segtriton_worker_restarts_total"]
    video = replace(VICTIM.format, frame_rate=hanging_worker.frame_rate_of(act))
    with ThreadPoolExecutor(1) as pool:
        victim = pool.submit(stream_clip, address, replace(VICTIM, format=video))
        while not victim.done():
            assert stream_clip(address, NEIGHBOUR).payloads == alone.payloads
        with pytest.raises(SegtritonError) as caught:
            victim.result()
    assert caught.value.code is ErrorCode.WORKER_LOST

    assert wait_until(lambda: read_metrics(hostile_server)["segtriton_worker_restarts_total"] == restarts + 1)
    (ended,) = set(before) - set(worker_pids(hostile_server.pid))
    assert f"worker {ended} is ended" in log.read_text()
    assert stream_clip(address, NEIGHBOUR).payloads == alone.payloads
    assert wait_until(lambda: read_metrics(hostile_server)["segtriton_active_streams"] == 0)
    assert {stage for name in read_metrics(hostile_server) for stage in re.findall('stage="([^"]*)"', name)} <= set(
        STAGES
    )
