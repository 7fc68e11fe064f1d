"""A call that never returns, in each stage: it is cut, its worker replaced, and the neighbours go on.

And a decoder that a hostile stream has taken over: it reaches nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hanging_worker
import pytest
from process_tree import wait_until, worker_pids
from raw_client import read_clip, stream_clip

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess

VICTIM = read_clip("carphone_pristine.mp4").head(30)
NEIGHBOUR = read_clip("bikes.mp4").head(60)
DEADLINE = 4.0

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def start(server_settings: Callable[..., LaunchSettings], tmp_path: Path) -> Callable[..., TritonProcess]:
    def start(stage: str, how: str, **settings: object) -> TritonProcess:
        python = tmp_path / "python"
        script = Path(hanging_worker.__file__)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "{stage}" "{how}" "$@"\n')
        python.chmod(0o755)
        return TritonProcess(server_settings(workers=2, stage_deadline=DEADLINE, python=python, **settings))

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
def test_a_decoder_that_was_taken_over(
    confinement: str, start: Callable[..., TritonProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks for a key, the router's memory, other clients' messages, the network, other processes."""
    secret = tmp_path / "key.pem"
    secret.write_text("secret")
    monkeypatch.setenv("SECRET_FILE", str(secret))
    with start("decode", "breaking in", confinement=confinement) as server:
        if confinement == "auto":
            assert len(stream_clip(server.grpc_address, VICTIM).packets) == len(VICTIM.packets)
            return
        with pytest.raises(SegtritonError) as caught:
            stream_clip(server.grpc_address, VICTIM)
        assert caught.value.code is ErrorCode.WORKER_LOST
