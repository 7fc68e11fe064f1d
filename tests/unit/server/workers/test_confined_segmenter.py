"""A user's network in a process of its own: the same masks, and nothing that a hostile file could do beyond them."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_networks import (
    SIZE_HW,
    colors_card,
    colors_model,
    endless_model,
    greedy_model,
    write_average,
    write_colors,
    write_network,
)

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.settings import Settings
from segtriton_server.vision.errors import NetworkFileError, UnknownNetworkError
from segtriton_server.vision.networks import create_segmenter
from segtriton_server.workers.confined_segmenter import ConfinedSegmenter

RED = frozenset({1})
Rgb = NDArray[np.uint8]
Start = Callable[..., ConfinedSegmenter]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started = []

    def start(network: str = "colors", **settings: Any) -> ConfinedSegmenter:
        values = {"worker_memory_bytes": 1 << 30, "python": sys.executable, "network": network} | settings
        started.append(ConfinedSegmenter(Settings(networks=tmp_path, **values)))
        return started[-1]

    yield start
    for segmenter in started:
        segmenter.close()


def filled(red: int, green: int = 0) -> Rgb:
    picture = np.zeros((*SIZE_HW, 3), np.uint8)
    picture[...] = red, green, 0
    return picture


def pid_of(segmenter: ConfinedSegmenter) -> int:
    assert segmenter._process is not None
    return segmenter._process.pid


def test_masks_are_those_of_the_network_itself(tmp_path: Path, start: Start) -> None:
    write_colors(tmp_path)
    confined, itself = start(), create_segmenter("colors", tmp_path, 1, 4)
    pictures = list(np.random.default_rng(1).integers(0, 256, (3, *SIZE_HW, 3), np.uint8))
    turned = Orientation(True, False, True)

    for mask, expected in zip(
        confined.segment(pictures, [RED] * 3, [UPRIGHT, turned, UPRIGHT]),
        itself.segment(pictures, [RED] * 3, [UPRIGHT, turned, UPRIGHT]),
        strict=True,
    ):
        np.testing.assert_array_equal(mask, expected)
    assert (confined.name, confined.classes, confined.input_hw) == (itself.name, itself.classes, itself.input_hw)


def test_a_sequence_goes_on_and_another_begins_anew(tmp_path: Path, start: Start) -> None:
    write_average(tmp_path)
    segmenter = start("average")
    first, second = segmenter.start(), segmenter.start()

    def level(state: object, count: int) -> list[int]:
        return [
            int(mask[0, 0]) for mask in segmenter.segment([filled(255)] * count, [RED] * count, states=[state] * count)
        ]

    assert level(first, 2) == [128, 191]
    assert level(first, 1) == [223]
    assert level(second, 2) == [128, 191]
    assert [int(mask[0, 0]) for mask in segmenter.segment([filled(255)], [RED])] == [128]


def test_a_network_that_never_ends_on_a_picture_is_ended(tmp_path: Path, start: Start) -> None:
    write_network(tmp_path, endless_model(), colors_card())
    segmenter = start(stage_deadline=1.0)

    with pytest.raises(RuntimeError, match="took longer than 1 s"):
        segmenter.segment([filled(255)], [RED])
    (mask,) = segmenter.segment([filled(220)], [RED])  # is not red enough to be lost in
    assert (mask == 255).all()


def test_a_network_that_never_ends_at_its_trial_is_refused(tmp_path: Path, start: Start) -> None:
    write_network(tmp_path, endless_model(threshold=-1e9), colors_card())

    with pytest.raises(
        NetworkFileError, match="colors could not be loaded: the network's process took longer than 4 s"
    ):
        start(start_timeout=4.0)


def test_a_network_that_wants_four_gibibytes_is_refused(tmp_path: Path, start: Start) -> None:
    write_network(tmp_path, greedy_model(), colors_card())

    with pytest.raises(NetworkFileError, match="colors fails: it wants more memory than there is"):
        start()


def test_files_with_changed_bytes_are_refused_or_run(tmp_path: Path, start: Start) -> None:
    """With a sum and a card that fit: what native code makes of them is the process's own trouble."""
    whole, random = colors_model().SerializeToString(), np.random.default_rng(7)
    for number in range(8):
        changed = bytearray(whole)
        for at in random.integers(0, len(whole), 4):
            changed[at] ^= 1 << int(random.integers(0, 8))
        name = f"colors{number}"
        write_network(tmp_path, bytes(changed), colors_card(name))
        with suppress(NetworkFileError, RuntimeError):
            (mask,) = start(name, start_timeout=20.0).segment([filled(255)], [RED])
            assert mask.shape == SIZE_HW


def test_what_onnx_runtime_refuses_is_told(tmp_path: Path, start: Start) -> None:
    graph = colors_model()
    graph.graph.node[0].op_type = "Teleport"
    write_network(tmp_path, graph, colors_card())

    with pytest.raises(NetworkFileError, match="Teleport"):
        start()


def test_a_process_that_is_gone_is_started_anew(tmp_path: Path, start: Start) -> None:
    write_colors(tmp_path)
    segmenter = start()
    before = pid_of(segmenter)
    os.kill(before, signal.SIGKILL)
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)

    (mask,) = segmenter.segment([filled(255)], [RED])
    assert (mask == 255).all()
    assert pid_of(segmenter) != before


@pytest.mark.parametrize(
    "answer",
    [
        "pipe.send_bytes(bytes(10))",
        "pipe.send_bytes(bytes(1 << 24))",
        "os.write(pipe.fileno(), b'\\xff' * 64)",
        "os._exit(3)",
    ],
)
def test_an_answer_that_is_no_mask_ends_the_process(tmp_path: Path, start: Start, answer: str) -> None:
    write_colors(tmp_path)
    hostile = tmp_path / "python"
    hostile.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\nfrom multiprocessing.connection import Connection\n"
        "pipe = Connection(int(sys.argv[3]))\npipe.send_bytes(b'ready')\npipe.recv_bytes(), pipe.recv_bytes()\n"
        f"{answer}\n"
    )
    hostile.chmod(0o755)
    segmenter = start(python=str(hostile), stage_deadline=5.0)

    with pytest.raises(RuntimeError, match="the network's process"):
        segmenter.segment([filled(255)], [RED])


def test_the_process_is_confined_before_it_reads_the_file(tmp_path: Path, start: Start) -> None:
    write_colors(tmp_path)
    status = Path(f"/proc/{pid_of(start())}/status").read_text()
    limits = Path(f"/proc/{pid_of(start())}/limits").read_text()

    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
    assert f"Max data size             {1 << 30}" in limits


def test_it_ends_with_who_started_it_even_while_it_is_busy(tmp_path: Path, start: Start) -> None:
    write_network(tmp_path, endless_model(), colors_card())
    segmenter = start()
    process = segmenter._process
    assert process is not None
    segmenter._pipe.send_bytes(b'{"shapes": [[%d, %d, 3]], "classes": [[1]], "goes_on": false}' % SIZE_HW)
    segmenter._pipe.send_bytes(filled(255).tobytes())
    time.sleep(0.5)
    assert process.poll() is None

    segmenter._pipe.close()
    assert process.wait(10) == 0


def test_a_network_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, start: Start) -> None:
    write_colors(tmp_path)

    with pytest.raises(UnknownNetworkError, match="selfie, selfie_square, colors"):
        start("dogs")
