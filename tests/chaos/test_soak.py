"""What a server holds does not grow with the number of its sessions; see `soak` for the long form."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from process_tree import holdings, wait_until
from raw_client import RawStream
from soak import Look, check_holdings, churn, soak
from stamped_clips import RECIPES, UNCHANGED, stamped_clip

from segtriton_server.launch import LaunchSettings, TritonProcess

CLIP = stamped_clip(RECIPES[1]).head(13)

pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(scope="module")
def soaked(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    with TritonProcess(server_settings(workers=2, stream_slots=64)) as running:
        yield running


def test_what_is_held_does_not_grow(
    soaked: TritonProcess, read_metrics: Callable[[TritonProcess], dict[str, float]]
) -> None:
    def run_session(number: int) -> None:
        with RawStream(soaked.grpc_address) as stream:
            churn(stream, CLIP, UNCHANGED, number)

    def wait_idle() -> None:
        assert wait_until(lambda: read_metrics(soaked)["segtriton_active_streams"] == 0)

    check_holdings(soak(run_session, wait_idle, lambda: Look(time.monotonic(), holdings(soaked.pid)), sessions=160))
