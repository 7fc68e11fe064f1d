"""Tries a network with a card, in confinement: whether it runs, what it finds, how fast it is and what it takes."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.settings import Settings
from segtriton_server.vision.networks.card import NetworkCard
from segtriton_server.vision.segmenter import ClassIds
from segtriton_server.workers.confined_segmenter import ConfinedSegmenter

_SECONDS = 1.0
_MIN_RUNS = 3
_MIB = 1 << 20
# What such a process takes without any network, and what is added to what was seen.
_BARE_BYTES = 64 * _MIB
_SPARE = 1.25
_LEAST_BYTES = 16 * _MIB


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial has shown.

    Attributes:
        card: the network's card.
        mask: of the picture, for the default class, uint8 [h, w].
        shares: for each label, how much of the picture it has, 0 to 1.
        pictures_per_second: by how many went into a call.
        memory_bytes: what a process takes for the network, as the setting `network_memory_bytes`.
    """

    card: NetworkCard
    mask: NDArray[np.uint8]
    shares: dict[str, float]
    pictures_per_second: dict[int, float]
    memory_bytes: int


def try_network(folder: Path, picture: Picture, memory_bytes: int, seconds: float) -> Trial:
    """Load a network's folder and run it on a picture.

    Args:
        folder: its folder.
        picture: what it is to see.
        memory_bytes: what it may allocate.
        seconds: how long it may take to load, and for one call.

    Raises:
        NetworkFileError: the card has mistakes, or the file cannot be loaded.
        RuntimeError: it does not run.
    """
    folder = folder.resolve()
    settings = Settings(
        network=folder.name,
        networks=folder.parent,
        batch_size=32,
        worker_memory_bytes=memory_bytes,
        python=sys.executable,
        start_timeout=seconds,
        stage_deadline=seconds,
    )
    segmenter = ConfinedSegmenter(settings)
    try:
        card = segmenter.card
        seen = segmenter.preprocess(picture)
        masks = [segmenter.segment([seen], [frozenset({label})])[0] for label in range(len(card.labels))]
        shares = {label: float(mask.mean()) / 255 for label, mask in zip(card.labels, masks, strict=True)}
        default = card.labels.index(card.default_class)
        sizes = sorted({card.batch_sizes[0], card.batch_sizes[-1]})
        speeds = {size: _speed(segmenter, [seen] * size, frozenset({default})) for size in sizes}
        return Trial(card, masks[default], shares, speeds, _memory(segmenter.pid))
    finally:
        segmenter.close()


def _speed(segmenter: ConfinedSegmenter, inputs: Sequence[NDArray[np.uint8]], wanted: ClassIds) -> float:
    times: list[float] = []
    while sum(times) < _SECONDS or len(times) < _MIN_RUNS:
        started = time.perf_counter()
        segmenter.segment(inputs, [wanted] * len(inputs))
        times.append(time.perf_counter() - started)
    return len(inputs) / float(np.median(times))


def _memory(pid: int) -> int:
    """What the process has taken at most, less what it takes without a network, with room to spare."""
    fields = dict(re.findall(r"^(VmHWM|VmData):\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    seen = 1024 * max(int(fields["VmHWM"]), int(fields["VmData"])) - _BARE_BYTES
    return max(_LEAST_BYTES, -(-int(seen * _SPARE) // _MIB) * _MIB)
