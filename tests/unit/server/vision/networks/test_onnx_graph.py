"""The reader of ONNX files reads what ONNX's own package writes, and ends at whatever else it gets."""

from contextlib import suppress

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_networks import SIZE_HW, average_model, colors_model, constant, endless_model, model, value

from segtriton_server.vision.errors import NetworkFileError
from segtriton_server.vision.networks import onnx_graph
from segtriton_server.vision.networks.onnx_graph import TensorInfo, read_graph

FILES = [made.SerializeToString() for made in (colors_model(), average_model(), endless_model())]


def test_inputs_and_outputs_are_those_of_the_file() -> None:
    graph = read_graph(average_model().SerializeToString())

    assert graph.inputs == {
        "picture": TensorInfo("float32", (None, 3, *SIZE_HW)),
        "last": TensorInfo("float32", (None, 1, *SIZE_HW)),
    }
    assert list(graph.outputs) == ["alpha", "next"]
    assert not graph.foreign_operators
    assert not graph.external_tensors


def test_types_and_shapes_that_are_not_said_or_not_taken_are_told_apart() -> None:
    unranked = onnx.ValueInfoProto(name="x")
    unranked.type.tensor_type.elem_type = TensorProto.FLOAT16
    graph = read_graph(
        model([], [unranked, value("y", [0, "n"], TensorProto.UINT8)], [value("z", [])]).SerializeToString()
    )

    assert graph.inputs == {"x": TensorInfo("float16", None), "y": TensorInfo("", (None, None))}
    assert graph.outputs == {"z": TensorInfo("float32", ())}


def test_weights_that_old_files_name_as_inputs_are_not_fed() -> None:
    graph = colors_model()
    graph.graph.input.append(value("weights", [3, 3, 1, 1]))

    assert list(read_graph(graph.SerializeToString()).inputs) == ["picture"]


def test_two_graphs_in_one_file_are_none() -> None:
    """A reader that took the first and a library that merged both would not speak of the same network."""
    with pytest.raises(NetworkFileError, match="two graphs"):
        read_graph(FILES[0] + FILES[1])


def test_weights_are_passed_over_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "_MAX_FIELDS", 100)
    graph = model([], [value("x", [1])], [value("x", [1])], [constant("weights", [0.0] * (1 << 22))])
    assert list(read_graph(graph.SerializeToString()).inputs) == ["x"]


@given(st.sampled_from(FILES), st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(content: bytes, data: st.DataObject) -> None:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(changed))


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read_or_refuse(content)
    read_or_refuse(helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString() + content)


def read_or_refuse(content: bytes) -> None:
    with suppress(NetworkFileError):
        read_graph(content)
