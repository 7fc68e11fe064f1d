"""Runs clips through the service as segclient does, without a process for each."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from segments import UNCHANGED, Segment
from web_folder import web

from segtriton_client import Report
from segtriton_client.frames import segment_frames
from segtriton_client.job import Job
from segtriton_client.segmentation import segment_video
from segtriton_protocol import OutputSpec
from segtriton_server.launch import TritonProcess

__all__ = ["photograph", "segment", "stream", "web"]


def _segment(work: Any, server: TritonProcess) -> Segment:
    def run(given: Path, made: Path, output: OutputSpec = UNCHANGED, **options: Any) -> Report:
        return asyncio.run(work(server.grpc_address, Job(given, made, output, **options)))

    return run


@pytest.fixture(params=["streamed", "frames"])
def segment(request: pytest.FixtureRequest, server: TritonProcess) -> Segment:
    """Both ways: streamed, and as frames."""
    return _segment(segment_video if request.param == "streamed" else segment_frames, server)


@pytest.fixture
def stream(server: TritonProcess) -> Segment:
    """The streamed way alone."""
    return _segment(segment_video, server)


@pytest.fixture
def photograph(server: TritonProcess) -> Segment:
    """The way of single pictures alone."""
    return _segment(segment_frames, server)
