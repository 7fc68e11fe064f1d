"""What a user's network costs beside its own run: processor time against ONNX Runtime alone, in the same process.

python tests/bench/onnx_network.py [FOLDER ...]     folders with a card; without, one made for this with 21 classes
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))

from onnx import helper
from onnx_networks import colors_card, constant, model, value, write_network

from segtriton_server.frames import Picture
from segtriton_server.process_memory import keep_freed_blocks
from segtriton_server.vision.networks.card_reader import read_card
from segtriton_server.vision.networks.onnx_network import OnnxSegmenter
from segtriton_server.vision.networks.onnx_runtime import onnxruntime

ROUNDS, CALLS = 5, 10
SIDE, CLASSES = 256, 21


def make_network(folder: Path) -> Path:
    """A network of one convolution, 256x256, as light as can be: all other costs show."""
    random = np.random.default_rng(1)
    graph = model(
        [helper.make_node("Conv", ["picture", "weights"], ["scores"])],
        [value("picture", ["n", 3, SIDE, SIDE])],
        [value("scores", ["n", CLASSES, SIDE, SIDE])],
        [constant("weights", random.normal(size=(CLASSES, 3, 1, 1)))],
    )
    labels = [f"class {number}" for number in range(CLASSES)]
    card = colors_card("made", labels=labels, default_class=labels[0], background_class=labels[1])
    card["input"] |= {"height": SIDE, "width": SIDE}
    return write_network(folder, graph, card)


def milliseconds(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - started) / CALLS * 1e3


def measure(folder: Path) -> None:
    card = read_card(folder)
    segmenter = OnnxSegmenter(card, 1, card.batch_sizes[-1])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    bare = onnxruntime.InferenceSession(card.read_file(), options, providers=["CPUExecutionProvider"])
    picture = Picture((np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8),))
    seen, wanted = segmenter.preprocess(picture), frozenset({card.labels.index(card.default_class)})
    for size in card.batch_sizes:
        shape = (size, *card.input.size_hw, 3) if card.input.layout == "NHWC" else (size, 3, *card.input.size_hw)
        feeds = {card.input.tensor: np.zeros(shape, card.input.data_type)}
        for spec in card.states:
            feeds[spec.input] = np.full((size, *spec.shape[1:]), spec.start, spec.data_type)
        for spec in card.constants:
            feeds[spec.tensor] = np.full(spec.shape, spec.value, spec.data_type)
        alone, whole = [], []
        for _ in range(ROUNDS):
            alone.append(milliseconds(lambda feeds=feeds: bare.run(None, feeds)))
            whole.append(milliseconds(lambda size=size: segmenter.segment([seen] * size, [wanted] * size)))
        run, call = statistics.median(alone), statistics.median(whole)
        print(f"{card.name:16} {size:5} {run:10.2f} {call:10.2f} {call / run:7.2f} {(call - run) / size:10.2f}")


def main() -> None:
    keep_freed_blocks()  # as a worker does
    print(f"{'network':16} {'batch':>5} {'run, ms':>10} {'masks, ms':>10} {'ratio':>7} {'rest each':>10}")
    with tempfile.TemporaryDirectory() as made:
        for folder in map(Path, sys.argv[1:]) if sys.argv[1:] else [make_network(Path(made))]:
            measure(folder.resolve())


if __name__ == "__main__":
    main()
