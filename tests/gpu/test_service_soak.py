"""What a server holds, of the GPU's memory too, does not grow with the number of its sessions."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from gpu_clips import make_clip
from gpu_service import MJPEG, STREAMING, device_bytes_used, launch_settings, wait_idle
from process_tree import holdings
from raw_client import FAST, RawStream
from soak import Look, check_holdings, check_memory, churn, soak

from segtriton_protocol import MatteSpec, OutputSpec
from segtriton_server.launch import TritonProcess

# NVDEC's and the CPU's decoder, large and small pictures.
CLIPS = [make_clip(name).head(13) for name in ("h264", "hevc", "h264_444", "h264_1080p", "h264_tiny")]
OUTPUTS = (MJPEG, FAST, OutputSpec(encoder="mask"), OutputSpec(encoder="mask", matte=MatteSpec(0.8, 0.3)))

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    with TritonProcess(launch_settings(tmp_path_factory.mktemp("server"), (STREAMING,), workers=2)) as running:
        yield running
        sys.stdout.write(running.log_tail())  # shown where a test has failed


def test_what_is_held_does_not_grow(soaked: TritonProcess) -> None:
    def run_session(number: int) -> None:
        # The ways to end are four, as the outputs: each is to meet all.
        output, clip = OUTPUTS[number // 4 % len(OUTPUTS)], CLIPS[number % len(CLIPS)]
        with RawStream(soaked.grpc_address, STREAMING) as stream:
            churn(stream, clip, output, number)

    def look() -> Look:
        return Look(time.monotonic(), holdings(soaked.pid), device_bytes_used())

    looks = soak(run_session, lambda: wait_idle(soaked), look, sessions=3200)
    check_holdings(looks)
    check_memory(looks, lambda look: look.device_bytes)
