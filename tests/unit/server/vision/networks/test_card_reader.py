import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_networks import (
    FLOAT,
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

from segtriton_server.vision.errors import NetworkCardError, NetworkFileError
from segtriton_server.vision.networks import onnx_graph
from segtriton_server.vision.networks.card import StateSpec
from segtriton_server.vision.networks.card_reader import read_card

RANDOM = np.random.default_rng(1).bytes(4096)


def mistakes_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(NetworkCardError) as caught:
        read_card(folder)
    return caught.value.mistakes


def test_a_card_says_how_to_feed_and_read_its_network(tmp_path: Path) -> None:
    card = read_card(write_colors(tmp_path))

    assert (card.name, card.licence, card.labels) == ("colors", "Apache-2.0", ("background", "red", "blue"))
    assert (card.default_class, card.background_class) == ("red", "background")
    assert (card.input.tensor, card.input.layout, card.input.size_hw) == ("picture", "NCHW", SIZE_HW)
    assert (card.output.tensor, card.output.kind, card.output.foreground) == ("scores", "scores", None)
    assert (card.batch_sizes, card.states, card.constants) == ((1, 2, 4), (), ())
    assert onnx.load_from_string(card.read_file()) == colors_model()


def test_the_normalisation_is_one_scale_and_one_offset_for_each_channel(tmp_path: Path) -> None:
    card = colors_card()
    card["input"] |= {"levels": 1, "mean": [0.5, 0.25, 0], "std": [0.5, 1, 2]}
    spec = read_card(write_network(tmp_path, colors_model(), card)).input

    level = 51
    samples = [level * scale + offset for scale, offset in zip(spec.scale, spec.offset, strict=True)]
    assert samples == pytest.approx([(0.2 - 0.5) / 0.5, 0.2 - 0.25, 0.2 / 2])


def test_states_are_pairs_of_tensors(tmp_path: Path) -> None:
    card = read_card(write_average(tmp_path))

    assert card.states == (StateSpec("last", "next", (1, 1, *SIZE_HW), 0.0),)
    assert card.state_bytes == 4 * math.prod(SIZE_HW)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"licence": 7}, "licence must be a text in quotes of 1 to 200 printable characters, not 7"),
        ({"source": "a\nb"}, "source must be a text of 1 to 200 printable characters, not 'a\\nb'"),
        ({"colour": "red"}, "colour is no key; there is name, sha256, licence,"),
        ({"name": "Colors"}, "name must be lower-case letters, digits, _ and -,"),
        ({"name": "colors_streaming"}, "and not end in _streaming, not 'colors_streaming'"),
        ({"name": "selfie"}, "name must be another than those of the networks that come with the server, not 'selfie'"),
        ({"name": "fcn_resnet101"}, "name must be another than those of the networks that come with the server"),
        ({"name": "../colors"}, "name must be lower-case letters"),
        ({"labels": ["background", "red"]}, "as many channels as labels, 2), by layout and size, and the graph has"),
        ({"labels": ["background", True, "blue"]}, "labels[1] must be a text (in quotes if it is a number, yes or no)"),
        ({"labels": ["background", "red", "red"]}, "labels[2] must be another than labels[1], 'red'"),
        ({"labels": ["background", "red,blue", "blue"]}, "labels[1] must be a text"),
        ({"labels": "red"}, "labels must be a list of 1 to 1000 texts, not 'red'"),
        ({"default_class": "dog"}, "default_class must be one of the labels: ['background', 'red', 'blue'], not 'dog'"),
        ({"background_class": "sky"}, "background_class must be one of the labels"),
        ({"batch_sizes": [2, 4]}, "batch_sizes must be rising, and begin with 1, not [2, 4]"),
        ({"batch_sizes": [1, 64]}, "batch_sizes must be a list of 1 to 32 integers from 1 to 32, not [1, 64]"),
        ({"sha256": "0" * 64}, "sha256 must be "),
        ({"input": ["picture"]}, "input must be a mapping with tensor, layout,"),
        ({"states": [{"input": "last"}]}, "states[0].output must be a text"),
        ({"constants": [{"tensor": "ratio", "shape": [1], "value": 0.25}]}, "constants[0].tensor must be one that the"),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(tmp_path: Path, changes: dict[str, Any], answer: str) -> None:
    folder = write_network(tmp_path, colors_model(), colors_card() | {"name": "colors"})
    write_network(tmp_path / "changed", colors_model(), colors_card() | changes | {"name": "colors"})
    text = (tmp_path / "changed" / "colors" / "network.yaml").read_text()
    if "name" in changes:
        text = text.replace("name: colors\n", f"name: {changes['name']}\n")
    (folder / "network.yaml").write_text(text)

    assert any(answer in mistake for mistake in mistakes_of(folder))


@pytest.mark.parametrize(
    ("part", "changes", "answer"),
    [
        ("input", {"tensor": "image"}, "input.tensor must be one that the graph has: 'picture', not 'image'"),
        ("input", {"layout": "NHWC"}, "must have the shape [batch, 32, 48, 3], by layout and size, and the graph has"),
        ("input", {"layout": "HWC"}, "input.layout must be one of NHWC, NCHW, not 'HWC'"),
        ("input", {"height": 64}, "must have the shape [batch, 3, 64, 48]"),
        ("input", {"height": 32.5}, "input.height must be an integer from 8 to 2048, not 32.5"),
        ("input", {"height": 1 << 20}, "input.height must be an integer from 8 to 2048, not 1048576"),
        ("input", {"color_order": "RGB"}, "input.color_order must be one of rgb, bgr, not 'RGB'"),
        ("input", {"levels": True}, "input.levels must be one of 1, 255, not True"),
        ("input", {"mean": [0, 0]}, "input.mean must be a list of three numbers, one for each channel, not [0, 0]"),
        ("input", {"std": [1, 0, 1]}, "input.std must be a list of three numbers above 0"),
        ("input", {"mean": [0, float("nan"), 0]}, "input.mean must be a list of three numbers"),
        ("input", {"resize": "crop"}, "input.resize must be one of stretch, letterbox, not 'crop'"),
        ("output", {"tensor": "alpha"}, "output.tensor must be one that the graph has: 'scores', not 'alpha'"),
        ("output", {"layout": "NHWC"}, "output.tensor: 'scores' must have the shape [batch, any, any, 3]"),
        (
            "output",
            {"kind": "alpha"},
            "labels must be two where output.kind is alpha, one of them the background_class",
        ),
        ("output", {"kind": "logits"}, "output.kind must be one of scores, probabilities, alpha, not 'logits'"),
        ("output", {"foreground": "fgr"}, "output.foreground must be one that the graph has: 'scores', not 'fgr'"),
    ],
)
def test_a_mistake_of_a_part_is_named_with_its_part(
    tmp_path: Path, part: str, changes: dict[str, Any], answer: str
) -> None:
    card = colors_card()
    card[part] |= changes

    assert any(answer in mistake for mistake in mistakes_of(write_network(tmp_path, colors_model(), card)))


def test_all_mistakes_come_in_one_answer(tmp_path: Path) -> None:
    card = colors_card(licence="", labels=["background", "red"], sha256="")
    card["input"] |= {"mean": "zero", "colour": "rgb"}
    mistakes = mistakes_of(write_network(tmp_path, colors_model(), card))

    for key in ("licence", "input.colour", "input.mean", "output.tensor", "sha256"):
        assert any(mistake.startswith(key) for mistake in mistakes), key


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"states": []}, "the graph's input 'last' must be named once, as input.tensor, in states or in constants"),
        (
            {"states": [{"input": "last", "output": "next", "shape": [1, 1, 8, 8], "start": 0}]},
            "states[0].shape must fit 'last', which is [any, 1, 32, 48], not [1, 1, 8, 8]",
        ),
        (
            {"states": [{"input": "last", "output": "next", "shape": [2, 1, *SIZE_HW], "start": 0}]},
            "states[0].shape must be that of one session: its first axis is the batch's and 1",
        ),
        (
            {"states": [{"input": "last", "output": "next", "shape": [1, 1, *SIZE_HW], "start": "zero"}]},
            "states[0].start must be a finite number, not 'zero'",
        ),
        ({"states": "last"}, "states must be a list of at most 64 mappings with input, output, shape, start"),
    ],
)
def test_a_state_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], answer: str) -> None:
    folder = write_network(tmp_path, average_model(), average_card(**change))

    assert any(answer in mistake for mistake in mistakes_of(folder))


def test_the_state_of_a_session_is_bounded(tmp_path: Path) -> None:
    graph = model(
        [
            helper.make_node("Conv", ["picture", "weights"], ["alpha"]),
            helper.make_node("Identity", ["last"], ["next"]),
        ],
        [value("picture", ["n", 3, *SIZE_HW]), value("last", ["n", "c", "h", "w"])],
        [value("alpha", ["n", 1, *SIZE_HW]), value("next", ["n", "c", "h", "w"])],
        [constant("weights", [[[[1.0]], [[0.0]], [[0.0]]]])],
    )
    states = [{"input": "last", "output": "next", "shape": [1, 64, 1024, 1024], "start": 0}]
    mistakes = mistakes_of(write_network(tmp_path, graph, average_card(states=states)))

    assert mistakes == ("states must take at most 16777216 bytes a session, not 268435456",)


def test_a_graph_for_one_picture_has_one_batch_size(tmp_path: Path) -> None:
    folder = write_network(tmp_path, colors_model(batch=1), colors_card())
    assert mistakes_of(folder) == ("batch_sizes must be [1], as the graph's batch axis is 1, not [1, 2, 4]",)

    folder = write_network(tmp_path / "four", colors_model(batch=4), colors_card())
    assert mistakes_of(folder) == ("input.tensor: the graph's batch axis must be free or 1, not 4; export it so",)


def test_integers_as_an_input_are_refused(tmp_path: Path) -> None:
    graph = colors_model()
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8

    mistakes = mistakes_of(write_network(tmp_path, graph, colors_card()))
    assert mistakes == ("input.tensor: 'picture' must be of type float32 or float16 in the graph",)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("name: [", "network.yaml is no YAML that can be read:"),
        ("name: a\nname: b\n", "the key 'name' stands twice"),
        ("1: a\n", "the key 1 is no text"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("- a\n- b\n", "the card must be a mapping with name, sha256,"),
        ("", "the card must be a mapping with name, sha256,"),
        ("[" * 5000, "network.yaml is no YAML that can be read:"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path: Path, text: str, answer: str) -> None:
    folder = write_colors(tmp_path)
    (folder / "network.yaml").write_text(text)

    assert any(answer in mistake for mistake in mistakes_of(folder))


def test_references_that_multiply_stay_small(tmp_path: Path) -> None:
    folder = write_colors(tmp_path)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 12)]
    (folder / "network.yaml").write_text("\n".join(lines))

    assert all(len(mistake) < 500 for mistake in mistakes_of(folder))


def test_a_card_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    folder = write_colors(tmp_path)
    (folder / "network.yaml").write_text("#" * (300 << 10))

    assert mistakes_of(folder) == ("network.yaml must have at most 262144 bytes",)


@pytest.mark.parametrize("missing", ["network.yaml", "network.onnx"])
def test_a_folder_that_lacks_a_file_says_which(tmp_path: Path, missing: str) -> None:
    folder = write_colors(tmp_path)
    (folder / missing).unlink()

    with pytest.raises(NetworkFileError, match=missing):
        read_card(folder)


def test_the_file_is_checked_again_when_it_is_read(tmp_path: Path) -> None:
    card = read_card(write_colors(tmp_path))
    card.file.write_bytes(average_model().SerializeToString())

    with pytest.raises(NetworkFileError, match="not the file that its card names by sha256"):
        card.read_file()


# ---------------------------------------------------------------- files that reach out, or are none


def with_custom_operator() -> onnx.ModelProto:
    graph = colors_model()
    graph.graph.node[0].domain = "evil.example"
    graph.opset_import.append(helper.make_opsetid("evil.example", 1))
    return graph


def with_custom_operator_in_a_branch() -> onnx.ModelProto:
    graph = colors_model()
    inner = helper.make_node("Run", ["picture"], ["scores_inside"], domain="evil.example")
    branch = helper.make_graph([inner], "branch", [], [value("scores_inside", ["n", 3, *SIZE_HW])])
    node = helper.make_node("If", ["yes"], ["unused"], then_branch=branch, else_branch=branch)
    graph.graph.node.append(node)
    graph.graph.initializer.append(constant("yes", True, bool))
    return graph


def with_custom_function() -> onnx.ModelProto:
    graph = colors_model()
    inner = helper.make_node("Run", ["x"], ["y"], domain="evil.example")
    function = helper.make_function("ai.onnx", "F", ["x"], ["y"], [inner], [helper.make_opsetid("", 17)])
    graph.functions.append(function)
    return graph


@pytest.mark.parametrize("make", [with_custom_operator, with_custom_operator_in_a_branch, with_custom_function])
def test_custom_operators_are_refused_wherever_they_are(tmp_path: Path, make: Callable[[], onnx.ModelProto]) -> None:
    (mistake,) = mistakes_of(write_network(tmp_path, make(), colors_card()))

    assert "ONNX's own operators only, and has 'evil.example." in mistake


def point_outside(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def in_an_initializer() -> onnx.ModelProto:
    graph = colors_model()
    point_outside(graph.graph.initializer[0])
    return graph


def in_an_attribute() -> onnx.ModelProto:
    graph = colors_model()
    node = helper.make_node("Constant", [], ["unused"], value=constant("hidden", [1.0]))
    point_outside(node.attribute[0].t)
    graph.graph.node.append(node)
    return graph


def in_a_sparse_initializer() -> onnx.ModelProto:
    graph = colors_model()
    values, indices = constant("sparse", [1.0]), constant("", [0], np.int64)
    point_outside(values)
    graph.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    return graph


@pytest.mark.parametrize("make", [in_an_initializer, in_an_attribute, in_a_sparse_initializer])
def test_data_in_other_files_are_refused_wherever_they_are(tmp_path: Path, make: Callable[[], onnx.ModelProto]) -> None:
    (mistake,) = mistakes_of(write_network(tmp_path, make(), colors_card()))

    assert "network.onnx must hold all its data, and those of" in mistake


@pytest.mark.parametrize("content", [b"", b"\0" * 64, RANDOM, b"<html></html>", b"\x3a\xff\xff\xff\xff\x7f"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NetworkFileError):
        read_card(write_network(tmp_path, content, colors_card()))


def test_a_file_that_is_cut_off_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    folder = write_colors(tmp_path)
    whole = (folder / "network.onnx").read_bytes()

    for length in range(len(whole)):
        (folder / "network.onnx").write_bytes(whole[:length])
        with pytest.raises(NetworkFileError):
            read_card(folder)


def test_graphs_in_graphs_end_somewhere(tmp_path: Path) -> None:
    body = helper.make_graph([], "innermost", [], [])
    for _ in range(20):
        body = helper.make_graph([helper.make_node("Loop", [], [], body=body)], "body", [], [])
    graph = model(body.node, [value("picture", [1, 3, 8, 8])], [value("scores", [1, 3, 8, 8], FLOAT)])

    with pytest.raises(NetworkFileError, match="more than 16 deep"):
        read_card(write_network(tmp_path, graph, colors_card()))


def test_a_file_of_countless_parts_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "_MAX_FIELDS", 10_000)
    many = b"\x08\x01" * 20_000

    with pytest.raises(NetworkFileError, match="more than 10000 parts"):
        read_card(write_network(tmp_path, many, colors_card()))


def test_a_file_of_four_gibibytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = write_colors(tmp_path)
    with (folder / "network.onnx").open("wb") as file:
        file.truncate(4 << 30)

    with pytest.raises(NetworkFileError, match="has 4294967296 bytes, and at most 1073741824 are taken"):
        read_card(folder)


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = write_colors(tmp_path)
    (folder / "network.onnx").unlink()
    os.mkfifo(folder / "network.onnx")

    with pytest.raises(NetworkFileError, match="no plain file"):
        read_card(folder)
