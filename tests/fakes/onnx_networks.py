"""Small ONNX networks whose masks are known exactly, made in code, and their cards.

`COLORS` tells three colours apart: what is clearly red or blue is so with a probability of exactly 1. `AVERAGE` gives
the mean of the red it sees and of its last answer: 1/2, 3/4, 7/8 ... of a red that stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

SIZE_HW = (32, 48)
LABELS = ["background", "red", "blue"]
FLOAT = TensorProto.FLOAT
# How sure the network is of a colour that is there alone: the softmax of it is exactly 1.
_SURE = 1000.0

Shape = Sequence[int | str]


def value(name: str, shape: Shape, data_type: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, data_type, list(shape))


def constant(name: str, values: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def colors_model(batch: int | str = "batch", size_hw: tuple[int, int] = SIZE_HW) -> onnx.ModelProto:
    """Scores [n, 3, h, w] of RGB [n, 3, h, w] in 0..1: red against blue, and neither."""
    weights = np.asarray([[0, 0, 0], [1, 0, -1], [-1, 0, 1]], np.float32)[:, :, None, None] * np.float32(_SURE)
    bias = np.asarray([0, -0.25, -0.25], np.float32) * np.float32(_SURE)
    return model(
        [helper.make_node("Conv", ["picture", "weights", "bias"], ["scores"])],
        [value("picture", [batch, 3, *size_hw])],
        [value("scores", [batch, 3, *size_hw])],
        [constant("weights", weights), constant("bias", bias)],
    )


def average_model(size_hw: tuple[int, int] = SIZE_HW) -> onnx.ModelProto:
    """Alpha [n, 1, h, w] of RGB [n, 3, h, w] in 0..1 and the last alpha: the mean of both."""
    weights = np.asarray([1, 0, 0], np.float32)[None, :, None, None]
    return model(
        [
            helper.make_node("Conv", ["picture", "weights"], ["red"]),
            helper.make_node("Add", ["red", "last"], ["sum"]),
            helper.make_node("Mul", ["sum", "half"], ["alpha"]),
            helper.make_node("Identity", ["alpha"], ["next"]),
        ],
        [value("picture", ["batch", 3, *size_hw]), value("last", ["batch", 1, *size_hw])],
        [value("alpha", ["batch", 1, *size_hw]), value("next", ["batch", 1, *size_hw])],
        [constant("weights", weights), constant("half", 0.5)],
    )


def colors_card(name: str = "colors", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "licence": "Apache-2.0",
        "source": "made by the tests",
        "input": {
            **{"tensor": "picture", "layout": "NCHW", "height": SIZE_HW[0], "width": SIZE_HW[1]},
            **{"color_order": "rgb", "levels": 1, "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "stretch"},
        },
        "output": {"tensor": "scores", "layout": "NCHW", "kind": "scores"},
        "labels": LABELS,
        "default_class": "red",
        "background_class": "background",
        "batch_sizes": [1, 2, 4],
        **changes,
    }


def average_card(name: str = "average", **changes: Any) -> dict[str, Any]:
    return {
        **colors_card(name),
        "output": {"tensor": "alpha", "layout": "NCHW", "kind": "alpha"},
        "labels": ["background", "red"],
        "states": [{"input": "last", "output": "next", "shape": [1, 1, *SIZE_HW], "start": 0}],
        **changes,
    }


def write_network(folder: Path, graph: onnx.ModelProto | bytes, card: dict[str, Any]) -> Path:
    """Write a network's folder, named as its card says, into `folder`; return it."""
    content = graph if isinstance(graph, bytes) else graph.SerializeToString()
    network = folder / str(card["name"])
    network.mkdir(parents=True)
    (network / "network.onnx").write_bytes(content)
    whole = {"sha256": hashlib.sha256(content).hexdigest(), **card}
    (network / "network.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    return network


def write_colors(folder: Path, **changes: Any) -> Path:
    return write_network(folder, colors_model(), colors_card(**changes))


def write_average(folder: Path, **changes: Any) -> Path:
    return write_network(folder, average_model(), average_card(**changes))


# ---------------------------------------------------------------- hostile ones


def endless_model(threshold: float = 0.9) -> onnx.ModelProto:
    """The colours of every picture but one that is wholly redder than the threshold, with which it never ends."""
    graph = colors_model()
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "body",
        [value("turn", [], TensorProto.INT64), value("go_on", [], TensorProto.BOOL), value("carried", [])],
        [value("goes_on", [], TensorProto.BOOL), value("carried_on", [])],
    )
    nodes = [
        helper.make_node("Conv", ["picture", "red_only"], ["red"]),
        helper.make_node("ReduceMin", ["red"], ["darkest"], keepdims=0),
        helper.make_node("Greater", ["darkest", "limit"], ["is_red"]),
        helper.make_node("Cast", ["is_red"], ["one"], to=TensorProto.INT64),
        helper.make_node("Mul", ["one", "for_ever"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "darkest"], ["last"], body=body),
        helper.make_node("Mul", ["last", "nothing"], ["zero"]),
        helper.make_node("Add", ["colors", "zero"], ["scores"]),
    ]
    graph.graph.node[0].output[0] = "colors"
    graph.graph.node.extend(nodes)
    graph.graph.initializer.extend(
        [
            constant("red_only", np.asarray([1, -1, -1])[None, :, None, None]),
            constant("limit", threshold),
            constant("for_ever", 2**62, np.int64),
            constant("nothing", 0.0),
        ]
    )
    return graph


def greedy_model(gibibytes: int = 4) -> onnx.ModelProto:
    """The colours, and a tensor of so many gibibytes on the way."""
    graph = colors_model()
    graph.graph.node[0].output[0] = "colors"
    graph.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["colors"], ["most"], keepdims=0),
            helper.make_node("Expand", ["most", "huge"], ["expanded"]),
            helper.make_node("ReduceMax", ["expanded"], ["same"], keepdims=0),
            helper.make_node("Sub", ["same", "most"], ["zero"]),
            helper.make_node("Add", ["colors", "zero"], ["scores"]),
        ]
    )
    graph.graph.initializer.append(constant("huge", [gibibytes, 1 << 28], np.int64))
    return graph
