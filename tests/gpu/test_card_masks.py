"""Networks with a card on torch give the masks that they give on ONNX Runtime, and keep their sessions apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx_networks
import pytest
import torch
from onnx import helper
from onnx_networks import SIZE_HW, average_card, average_model, colors_card, model, value, write_network
from torch import Tensor

from segtriton_server.vision.errors import NetworkFileError
from segtriton_server.vision.gpu.card_masks import CardMasks, choose_precision
from segtriton_server.vision.gpu.session_runner import SessionRunner
from segtriton_server.vision.networks.card import NetworkCard
from segtriton_server.vision.networks.card_reader import read_card
from segtriton_server.vision.networks.onnx_network import OnnxSegmenter
from segtriton_server.vision.networks.selfie_card import selfie_card
from segtriton_server.vision.networks.selfie_onnx import SELFIE_FILES, convert

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ASSETS = Path(__file__).parents[2] / ".assets"


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def levels(count: int, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    """Pictures of soft blobs and of clear colours, uint8 [n, h, w, 3]."""
    random = np.random.default_rng(count)
    coarse = random.choice(np.array([0, 20, 128, 255], np.uint8), (count, size_hw[0] // 8, size_hw[1] // 8, 3))
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))


def normal(card: NetworkCard, pictures: np.ndarray) -> Tensor:
    """As the kernels write pictures: normalised RGB [n, 3, h, w]."""
    in_rgb = slice(None, None, -1 if card.input.color_order == "bgr" else 1)
    scale, offset = np.float32(card.input.scale[in_rgb]), np.float32(card.input.offset[in_rgb])
    return torch.from_numpy(pictures * scale + offset).permute(0, 3, 1, 2).to(DEVICE)


def masks_of(card: NetworkCard, pictures: np.ndarray, wanted: set[int], *states: Tensor) -> np.ndarray:
    module = CardMasks(card, card.read_file()).to(DEVICE).eval()
    weights = torch.tensor([[float(label in wanted) for label in range(len(card.labels))]] * len(pictures))
    with torch.inference_mode():
        masks, *_ = module(normal(card, pictures), weights.to(DEVICE), *states)
    return masks.cpu().numpy()


def small_scores() -> Any:
    """Colours' scores at half of the input's size, channels last."""
    nodes = [
        helper.make_node("AveragePool", ["given"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Transpose", ["small"], ["scores"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", ["picture"], ["given"], perm=[0, 3, 1, 2]),
    ]
    height, width = SIZE_HW
    inputs, outputs = value("picture", ["n", height, width, 3]), value("scores", ["n", height // 2, width // 2, 3])
    return model([nodes[2], *nodes[:2]], [inputs], [outputs])


def bgr_card() -> dict[str, Any]:
    card = colors_card("small")
    changes = {"layout": "NHWC", "color_order": "bgr", "levels": 255, "mean": [100, 110, 120], "std": [50, 60, 70]}
    return {**card, "input": {**card["input"], **changes}, "output": {**card["output"], "layout": "NHWC"}}


NETWORKS: dict[str, Callable[[Path], Path]] = {
    "scores": onnx_networks.write_colors,
    "alpha": lambda folder: write_network(folder, average_model(), average_card()),
    "small scores of BGR, channels last": lambda folder: write_network(folder, small_scores(), bgr_card()),
}


@pytest.mark.parametrize("write", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("wanted", [{0}, {1}, {0, 1}, set()], ids=str)
def test_masks_are_those_of_onnx_runtime(tmp_path: Path, write: Callable[[Path], Path], wanted: set[int]) -> None:
    card = read_card(write(tmp_path))
    pictures = levels(3)
    states = [torch.full((3, *state.shape[1:]), state.start).to(DEVICE) for state in card.states]

    masks = masks_of(card, pictures, wanted, *states)

    on_cpu = OnnxSegmenter(card, 1, 4)
    expected = np.stack(on_cpu.segment(list(pictures), [frozenset(wanted)] * 3))
    assert masks.dtype == np.uint8
    assert np.abs(masks.astype(int) - expected).max() <= 1
    assert wanted in ({0, 1}, set()) or masks.std() > 10


@pytest.mark.parametrize(("name", "file"), [("selfie", SELFIE_FILES[0]), ("selfie_square", SELFIE_FILES[1])])
def test_selfie_gives_litert_s_masks_of_real_pictures(tmp_path: Path, name: str, file: str) -> None:
    from segtriton_server.vision.networks import create_segmenter

    (tmp_path / f"{file}.onnx").write_bytes(convert((ASSETS / "networks" / f"{file}.tflite").read_bytes()))
    card = selfie_card(name, tmp_path)
    assert card is not None
    with av.open(str(ASSETS / "clips/carphone_pristine.mp4")) as container:
        height, width = card.input.size_hw
        pictures = np.stack(
            [
                frame.reformat(width, height, "rgb24").to_ndarray()
                for frame in islice(container.decode(video=0), 0, 60, 20)
            ]
        )

    masks = masks_of(card, pictures, {1})

    on_litert = create_segmenter(name, ASSETS / "networks", 1, 4)
    expected = np.stack(on_litert.segment(list(pictures), [frozenset({1})] * len(pictures)))
    assert np.abs(masks.astype(int) - expected).max() <= 1
    assert masks.std() > 50


def test_precision_is_half_where_masks_stay_the_same(tmp_path: Path) -> None:
    plain = read_card(write_network(tmp_path, average_model(), average_card()))
    masks = CardMasks(plain, plain.read_file()).eval()
    assert choose_precision(masks, plain) is torch.half

    # Levels of 1/65536 decide here, which half precision does not tell apart.
    steep = model(
        [
            helper.make_node("Add", ["picture", "much"], ["large"]),
            helper.make_node("Sub", ["large", "much"], ["again"]),
            helper.make_node("ReduceMean", ["again"], ["alpha"], axes=[1], keepdims=1),
        ],
        [value("picture", ["n", 3, *SIZE_HW])],
        [value("alpha", ["n", 1, *SIZE_HW])],
        [onnx_networks.constant("much", 2048.0)],
    )
    card = read_card(write_network(tmp_path, steep, {**average_card("steep"), "states": []}))
    masks = CardMasks(card, card.read_file()).eval()
    assert choose_precision(masks, card) is torch.float32
    # The weights are still those of the file.
    assert all(weight.dtype == torch.float32 for weight in masks.buffers())


def test_a_card_that_leaves_an_input_out_is_refused(tmp_path: Path) -> None:
    whole = read_card(write_network(tmp_path, average_model(), average_card()))
    from dataclasses import replace

    with pytest.raises(NetworkFileError, match="does not say what goes into last"):
        CardMasks(replace(whole, states=()), whole.read_file())


# ------------------------------------------------------------------ sessions


class EagerGraph:
    """Takes the place of a captured graph: the mask is what the session has seen so far, and its state counts on."""

    def __init__(self, batch_size: int) -> None:
        self.inputs = torch.zeros((batch_size, *SIZE_HW, 3), device=DEVICE)
        self.weights = torch.zeros((batch_size, 2), device=DEVICE)
        self.states = (torch.zeros((batch_size, 1, 2), device=DEVICE),)
        self.counts: list[int] = []

    def run_with_states(self, count: int) -> tuple[Tensor, ...]:
        self.counts.append(count)
        after = self.states[0][:count] + self.inputs[:count, 0, 0, :1, None]
        masks = after[:, :1, :1].expand(count, *SIZE_HW).to(torch.uint8)
        return masks, after

    def run(self, count: int) -> Tensor:
        return self.run_with_states(count)[0]


def fed(runner: SessionRunner, values: list[int]) -> None:
    for row, number in enumerate(values):
        runner.inputs[row] = float(number)


def test_each_session_goes_on_from_its_own_state() -> None:
    graph = EagerGraph(2)
    runner = SessionRunner(graph, 8, [100.0])  # type: ignore[arg-type]
    one, other = runner.start(), runner.start()
    with torch.inference_mode():
        fed(runner, [1, 2, 10, 4, 20])
        # Two groups of one session in a batch, another session between them.
        first = runner.run_sessions([2, 1, 1, 1], [one, other, one, None])[:, 0, 0].tolist()
        fed(runner, [5, 30])
        second = runner.run_sessions([1, 1], [other, one])[:, 0, 0].tolist()

    assert first == [101, 103, 110, 107, 120]
    assert second == [115, 137]
    # The first frame of each session, then the second, then the third; two together at most.
    assert graph.counts == [2, 1, 1, 1, 2]


def test_frames_without_a_session_know_nothing_of_each_other() -> None:
    runner = SessionRunner(EagerGraph(4), 8, [7.0])  # type: ignore[arg-type]
    with torch.inference_mode():
        fed(runner, [1, 2, 3, 4, 5, 6])
        assert runner.run(6)[:, 0, 0].tolist() == [8, 9, 10, 11, 12, 13]


def test_a_network_without_states_runs_on_all_at_once() -> None:
    graph = EagerGraph(8)
    graph.states = ()
    graph.run_with_states = lambda count: (graph.inputs[:count, ..., 0].to(torch.uint8),)  # type: ignore[method-assign]
    runner = SessionRunner(graph, 8)  # type: ignore[arg-type]
    assert runner.start() is None
    assert runner.inputs.data_ptr() == graph.inputs.data_ptr()
    fed(runner, [1, 2, 3])
    assert runner.run_sessions([2, 1], [None, None])[:, 0, 0].tolist() == [1, 2, 3]
