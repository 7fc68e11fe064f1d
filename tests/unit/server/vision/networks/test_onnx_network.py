import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from subprocess import run

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx_networks import (
    LABELS,
    SIZE_HW,
    average_card,
    average_model,
    colors_card,
    colors_model,
    constant,
    model,
    value,
    write_average,
    write_colors,
    write_network,
)

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.frames import Picture
from segtriton_server.vision.errors import InvalidMaskError, NetworkCardError, NetworkFileError, UnknownNetworkError
from segtriton_server.vision.networks import create_segmenter, known_networks
from segtriton_server.vision.segmenter import Segmenter

Rgb = NDArray[np.uint8]

BACKGROUND, RED, BLUE = (frozenset({number}) for number in range(3))
ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]


@pytest.fixture
def colors(tmp_path: Path) -> Iterator[Segmenter]:
    write_colors(tmp_path)
    segmenter = create_segmenter("colors", tmp_path, num_threads=1, max_batch_size=8)
    yield segmenter
    segmenter.close()


@pytest.fixture
def average(tmp_path: Path) -> Iterator[Segmenter]:
    write_average(tmp_path)
    segmenter = create_segmenter("average", tmp_path, num_threads=1, max_batch_size=8)
    yield segmenter
    segmenter.close()


def flag(size_hw: tuple[int, int] = SIZE_HW) -> Rgb:
    """Red at the left, blue below it, else grey."""
    picture = np.full((*size_hw, 3), 90, np.uint8)
    height, width = size_hw
    picture[: height // 2, : width // 4] = 255, 0, 0
    picture[height // 2 :, : width // 4] = 0, 0, 255
    return picture


def red(level: int = 255) -> Rgb:
    picture = np.zeros((*SIZE_HW, 3), np.uint8)
    picture[..., 0] = level
    return picture


def where(picture: Rgb, color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.where((picture == color).all(axis=2), 255, 0).astype(np.uint8)


def test_a_folder_with_a_card_is_a_network(tmp_path: Path, colors: Segmenter) -> None:
    assert (colors.name, colors.classes, colors.default_class) == ("colors", tuple(LABELS), "red")
    assert (colors.input_hw, colors.max_batch_size, colors.warnings) == (SIZE_HW, 8, ())
    assert colors.start() is None
    assert "colors" in known_networks(tmp_path)
    with pytest.raises(UnknownNetworkError, match="known: selfie, selfie_square, colors"):
        create_segmenter("colour", tmp_path, 1, 4)


def test_masks_are_the_chosen_classes(colors: Segmenter) -> None:
    picture = flag()
    is_red, is_blue = where(picture, (255, 0, 0)), where(picture, (0, 0, 255))
    asked = [RED, BLUE, RED | BLUE, BACKGROUND, BACKGROUND | RED, RED | BLUE | BACKGROUND, frozenset()]

    masks = colors.segment([picture] * 7, asked)

    expected = [is_red, is_blue, is_red | is_blue, 255 - (is_red | is_blue), 255 - is_blue, is_red | 255, is_red & 0]
    for mask, wanted in zip(masks, expected, strict=True):
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, wanted)


def test_scores_that_are_near_each_other_share_the_pixel(tmp_path: Path) -> None:
    graph = colors_model()
    for name, scale in (("weights", 1 / 1000), ("bias", 0.0)):
        (tensor,) = (tensor for tensor in graph.graph.initializer if tensor.name == name)
        tensor.CopyFrom(constant(name, onnx.numpy_helper.to_array(tensor) * np.float32(scale)))
    write_network(tmp_path, graph, colors_card())
    (mask,) = create_segmenter("colors", tmp_path, 1, 4).segment([red()], [RED])

    scores = np.exp([0.0, 1.0, -1.0])
    assert set(np.unique(mask)) == {round(255 * scores[1] / scores.sum())}


def test_probabilities_are_taken_as_they_are(tmp_path: Path) -> None:
    graph = model(
        [helper.make_node("Identity", ["picture"], ["scores"])],
        [value("picture", ["n", 3, *SIZE_HW])],
        [value("scores", ["n", 3, *SIZE_HW])],
    )
    card = colors_card(output={"tensor": "scores", "layout": "NCHW", "kind": "probabilities"})
    write_network(tmp_path, graph, card)
    picture = flag()
    masks = create_segmenter("colors", tmp_path, 1, 4).segment([picture] * 3, [BACKGROUND, RED, BACKGROUND | RED])

    np.testing.assert_array_equal(masks[0], picture[..., 0])
    np.testing.assert_array_equal(masks[1], picture[..., 1])
    np.testing.assert_array_equal(masks[2], np.minimum(255, picture[..., 0].astype(int) + picture[..., 1]))


@pytest.mark.parametrize("data_type", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_layout_colour_order_and_levels_are_the_cards(tmp_path: Path, data_type: int) -> None:
    graph = model(
        [helper.make_node("Slice", ["picture", "first", "second", "axis"], ["alpha"])],
        [value("picture", ["n", *SIZE_HW, 3], data_type)],
        [value("alpha", ["n", *SIZE_HW, 1], data_type)],
        [constant(name, [number], np.int64) for name, number in (("first", 0), ("second", 1), ("axis", 3))],
    )
    card = average_card("blue", states=[], labels=["background", "blue"], default_class="blue")
    card["input"] |= {"layout": "NHWC", "color_order": "bgr", "levels": 255, "mean": [51, 9, 9], "std": [102, 1, 1]}
    card["output"] |= {"layout": "NHWC"}
    write_network(tmp_path, graph, card)
    picture = np.zeros((*SIZE_HW, 3), np.uint8)
    picture[..., 2] = 102  # (102 - 51) / 102

    (mask,) = create_segmenter("blue", tmp_path, 1, 4).segment([picture], [RED])

    assert set(np.unique(mask)) == {128}


def test_a_smaller_output_is_enlarged(tmp_path: Path) -> None:
    graph = colors_model()
    graph.graph.node[0].output[0] = "large"
    graph.graph.node.append(helper.make_node("AveragePool", ["large"], ["scores"], kernel_shape=[4, 4], strides=[4, 4]))
    graph.graph.output[0].CopyFrom(value("scores", ["batch", 3, SIZE_HW[0] // 4, SIZE_HW[1] // 4]))
    write_network(tmp_path, graph, colors_card())
    (mask,) = create_segmenter("colors", tmp_path, 1, 4).segment([flag()], [RED])

    assert mask.shape == SIZE_HW
    assert (mask[4, 4], mask[28, 4], mask[4, 40]) == (255, 0, 0)


# ---------------------------------------------------------------- pictures


def test_a_letterboxed_picture_keeps_its_aspect_and_its_mask_covers_it(tmp_path: Path) -> None:
    card = colors_card()
    card["input"] |= {"resize": "letterbox"}
    write_network(tmp_path, colors_model(), card)
    segmenter = create_segmenter("colors", tmp_path, 1, 4)
    picture = flag((64, 64))

    network_input = segmenter.preprocess(Picture((picture,)))
    (mask,) = segmenter.segment([network_input], [RED])

    assert network_input.shape == (32, 32, 3)
    expected = where(flag(), (255, 0, 0))
    assert mask.shape == SIZE_HW
    assert np.mean(mask != expected) < 0.05  # the enlarged edge is soft
    assert (mask[:14, :10] == 255).all()
    assert not mask[:, 15:].any()


def test_what_is_around_a_letterboxed_picture_is_zero_for_the_network(tmp_path: Path) -> None:
    """The network sees the mean of all: it would differ were the border anything else."""
    graph = model(
        [
            helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Expand", ["mean", "shape"], ["alpha"]),
        ],
        [value("picture", [1, 3, *SIZE_HW])],
        [value("alpha", [1, 1, *SIZE_HW])],
        [constant("shape", [1, 1, *SIZE_HW], np.int64)],
    )
    card = average_card(states=[], batch_sizes=[1])
    card["input"] |= {"resize": "letterbox", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    write_network(tmp_path, graph, card)
    segmenter = create_segmenter("average", tmp_path, 1, 4)
    white = Picture((np.full((64, 64, 3), 255, np.uint8),))

    (mask,) = segmenter.segment([segmenter.preprocess(white)], [RED])

    assert set(np.unique(mask)) == {170}  # 32 of 48 columns are 1


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_turned_pictures_are_seen_upright_and_their_masks_lie_as_they_do(
    tmp_path: Path, orientation: Orientation, resize: str
) -> None:
    card = colors_card()
    card["input"] |= {"resize": resize}
    write_network(tmp_path, colors_model(), card)
    segmenter = create_segmenter("colors", tmp_path, 1, 4)
    shown = flag((64, 72))
    stored = Picture((np.ascontiguousarray(orientation.to_stored(shown)),))

    seen = [segmenter.preprocess(Picture((shown,))), segmenter.preprocess(stored, orientation)]
    upright, turned = segmenter.segment(seen, [RED, RED], [UPRIGHT, orientation])

    np.testing.assert_array_equal(seen[0], seen[1])
    assert turned.shape == orientation.stored_hw(SIZE_HW)
    np.testing.assert_array_equal(orientation.to_shown(turned), upright)


# ---------------------------------------------------------------- batches


def textures(count: int) -> list[Rgb]:
    return list(np.random.default_rng(3).integers(0, 256, (count, *SIZE_HW, 3), np.uint8))


def test_a_mask_does_not_depend_on_who_rides_along(colors: Segmenter) -> None:
    pictures = textures(8)
    alone = [colors.segment([picture], [RED])[0] for picture in pictures]

    for count in range(1, 9):
        for mask, expected in zip(colors.segment(pictures[:count], [RED] * count), alone, strict=False):
            np.testing.assert_array_equal(mask, expected)


def test_a_graph_for_one_picture_serves_several_in_turn(tmp_path: Path) -> None:
    write_network(tmp_path, colors_model(batch=1), colors_card(batch_sizes=[1]))
    segmenter = create_segmenter("colors", tmp_path, 1, 8)
    pictures = [flag(), red(), flag()]

    for mask, picture in zip(segmenter.segment(pictures, [RED] * 3), pictures, strict=True):
        np.testing.assert_array_equal(mask, where(picture, (255, 0, 0)))


def with_means_of_the_batch() -> onnx.ModelProto:
    """Scores that depend on all pictures of the batch."""
    graph = colors_model()
    graph.graph.node[0].output[0] = "each"
    graph.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["each"], ["all"], axes=[0], keepdims=1),
            helper.make_node("Add", ["each", "all"], ["scores"]),
        ]
    )
    return graph


def test_batches_whose_pictures_disturb_each_other_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_network(tmp_path, with_means_of_the_batch(), colors_card())
    segmenter = create_segmenter("colors", tmp_path, 1, 8)
    pictures = textures(4)

    alone = [segmenter.segment([picture], [RED])[0] for picture in pictures]
    for mask, expected in zip(segmenter.segment(pictures, [RED] * 4), alone, strict=True):
        np.testing.assert_array_equal(mask, expected)
    assert "batches of 4 give other bits than single pictures" in caplog.text


# ---------------------------------------------------------------- states


def levels(masks: list[NDArray[np.uint8]]) -> list[int]:
    assert all((mask == mask[0, 0]).all() for mask in masks)
    return [int(mask[0, 0]) for mask in masks]


def halves(count: int) -> list[int]:
    """What the average network says of a red that stays."""
    return [round(255 * (1 - 0.5**frame)) for frame in range(1, count + 1)]


def test_a_session_goes_on_from_its_last_frame(average: Segmenter) -> None:
    state = average.start()

    masks = [average.segment([red()], [RED], states=[state])[0] for _ in range(6)]

    assert levels(masks) == halves(6)


def test_frames_of_one_session_in_one_call_are_seen_in_their_order(average: Segmenter) -> None:
    first, second = average.start(), average.start()
    pictures = [red(), red(0), red(), red(), red(0), red()]

    masks = average.segment(pictures, [RED] * 6, states=[first, second, first, first, second, second])

    assert levels(masks) == [*halves(1), 0, *halves(3)[1:], 0, *halves(1)]


def test_sessions_that_ride_together_keep_their_states_apart(average: Segmenter) -> None:
    states = [average.start() for _ in range(4)]
    shades = [255, 128, 0, 64]

    for frame in range(1, 5):
        masks = average.segment([red(shade) for shade in shades], [RED] * 4, states=states)
        kept = 1 - 0.5**frame
        assert levels(masks) == [round(float(np.float32(shade / 255) * kept) * 255) for shade in shades]


def test_pictures_without_states_are_each_the_first(average: Segmenter) -> None:
    masks = average.segment([red()] * 3, [RED] * 3)

    assert levels(masks) == halves(1) * 3


def test_a_state_begins_with_the_cards_value(tmp_path: Path) -> None:
    card = average_card()
    card["states"][0] |= {"start": 1}
    write_network(tmp_path, average_model(), card)
    segmenter = create_segmenter("average", tmp_path, 1, 4)

    assert levels(segmenter.segment([red(0)], [RED], states=[segmenter.start()])) == [128]


def test_a_call_that_fails_leaves_states_as_they_were(average: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    state = average.start()
    mask_of, calls = average._mask, []  # type: ignore[attr-defined]

    def fail_at_the_second(*arguments: object) -> NDArray[np.uint8]:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return mask_of(*arguments)  # type: ignore[no-any-return]

    monkeypatch.setattr(average, "_mask", fail_at_the_second)
    with pytest.raises(MemoryError):
        average.segment([red()] * 2, [RED] * 2, states=[state, state])
    monkeypatch.undo()

    assert levels(average.segment([red()], [RED], states=[state])) == halves(1)


def test_constants_are_fed_each_time(tmp_path: Path) -> None:
    graph = average_model()
    (half,) = (tensor for tensor in graph.graph.initializer if tensor.name == "half")
    graph.graph.initializer.remove(half)
    graph.graph.input.append(value("half", [1]))
    write_network(tmp_path, graph, average_card(constants=[{"tensor": "half", "shape": [1], "value": 0.25}]))
    segmenter = create_segmenter("average", tmp_path, 1, 4)

    assert levels(segmenter.segment([red()] * 2, [RED] * 2)) == [64, 64]


# ---------------------------------------------------------------- what a file may do


def test_mistakes_of_the_card_are_told(tmp_path: Path) -> None:
    write_colors(tmp_path, default_class="dog")

    with pytest.raises(NetworkCardError, match="default_class must be one of the labels"):
        create_segmenter("colors", tmp_path, 1, 4)


def test_what_is_not_a_number_is_no_mask(tmp_path: Path) -> None:
    graph = colors_model()
    graph.graph.node[0].output[0] = "large"
    graph.graph.node.append(helper.make_node("Log", ["large"], ["scores"]))
    write_network(tmp_path, graph, colors_card())

    (mask,) = create_segmenter("colors", tmp_path, 1, 4).segment([flag()], [RED])

    assert not mask.any()


def test_an_output_of_another_shape_than_the_file_says_is_refused(tmp_path: Path) -> None:
    graph = colors_model()
    graph.graph.node[0].output[0] = "large"
    graph.graph.node.append(helper.make_node("Slice", ["large", "one", "two", "one"], ["scores"]))
    graph.graph.initializer.extend([constant("one", [1], np.int64), constant("two", [2], np.int64)])
    graph.graph.output[0].type.tensor_type.ClearField("shape")
    write_network(tmp_path, graph, colors_card())

    with pytest.raises(
        NetworkFileError, match=r"scores is \[1, 1, 32, 48\], and NCHW with 3 channels for a batch of 1"
    ):
        create_segmenter("colors", tmp_path, 1, 4)


def test_an_operator_that_there_is_not_is_refused(tmp_path: Path) -> None:
    graph = colors_model()
    graph.graph.node[0].op_type = "Teleport"
    write_network(tmp_path, graph, colors_card())

    with pytest.raises(NetworkFileError, match=r"network.onnx of colors cannot be loaded: .*Teleport"):
        create_segmenter("colors", tmp_path, 1, 4)


def test_inputs_that_do_not_fit_are_refused(colors: Segmenter) -> None:
    with pytest.raises(InvalidMaskError, match="one set of class ids each"):
        colors.segment([flag()], [])
    with pytest.raises(InvalidMaskError, match="at most 8 inputs"):
        colors.segment([flag()] * 9, [RED] * 9)
    with pytest.raises(InvalidMaskError, match=r"at most \(32, 48, 3\)"):
        colors.segment([flag((33, 48))], [RED])
    with pytest.raises(InvalidMaskError, match="class ids must be 0 to 2"):
        colors.segment([flag()], [frozenset({3})])


@pytest.mark.parametrize("package", ["onnxruntime", "yaml"])
def test_who_serves_selfie_loads_none_of_this(networks_folder: Path, package: str) -> None:
    program = (
        "import pathlib, sys; from segtriton_server.vision.networks import create_segmenter;"
        f"create_segmenter('selfie', pathlib.Path({str(networks_folder)!r}), 1, 1);"
        f"import segtriton_server.workers.worker_process, segtriton_server.services.frame_segmentation;"
        f"sys.exit({package!r} in sys.modules)"
    )
    assert run([sys.executable, "-c", program], check=False).returncode == 0
