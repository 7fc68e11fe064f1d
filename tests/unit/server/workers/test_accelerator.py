"""The CPU's parts: how many threads a decoder gets."""

from fractions import Fraction
from pathlib import Path

import pytest

from segtriton_protocol import PLAIN_PIXEL_FORMAT, VideoFormat
from segtriton_server.media.libav_decoder import LibavDecoder
from segtriton_server.settings import Settings
from segtriton_server.workers.accelerator import CpuAccelerator

NETWORKS = Path(__file__).parents[4] / ".assets/networks"
VIDEO = VideoFormat("h264", 64, 48, Fraction(1, 25))


@pytest.fixture
def accelerator() -> CpuAccelerator:
    return CpuAccelerator(Settings(networks=NETWORKS, decoder_threads=3))


def open_decoder(accelerator: CpuAccelerator, *, low_delay: bool = False) -> LibavDecoder:
    decoder = accelerator.open_decoder(VIDEO, PLAIN_PIXEL_FORMAT, low_delay=low_delay, deinterlace=True)
    assert isinstance(decoder, LibavDecoder)
    return decoder


def test_a_decoder_beside_another_has_one_thread(accelerator: CpuAccelerator) -> None:
    first, second = open_decoder(accelerator), open_decoder(accelerator)

    assert (first.num_threads, second.num_threads) == (3, 1)


def test_a_closed_decoder_is_no_other(accelerator: CpuAccelerator) -> None:
    closed = open_decoder(accelerator)
    closed.close()

    assert open_decoder(accelerator).num_threads == 3


def test_a_live_session_keeps_its_threads(accelerator: CpuAccelerator) -> None:
    first, live = open_decoder(accelerator), open_decoder(accelerator, low_delay=True)

    assert (first.num_threads, live.num_threads) == (3, 3)
