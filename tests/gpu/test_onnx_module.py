"""ONNX graphs on torch: the operators by ONNX's own cases, and which files are refused."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from segtriton_server.vision.errors import BackendError, NetworkFileError
from segtriton_server.vision.gpu.onnx_module import OnnxModule
from segtriton_server.vision.gpu.onnx_operators import OPERATORS

pytestmark = pytest.mark.filterwarnings("ignore")  # what ONNX's cases compute on their way

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# What pictures and sizes are made of; ONNX's cases come in all types.
TYPES = {np.dtype(name) for name in ("float32", "float64", "int32", "int64", "bool")}
# LayerNormalization's cases ask for what is there for training, Cast's for types that no network here has, and Upsample
# is gone from new opsets.
OF_OUR_OWN = {"Cast", "LayerNormalization", "Upsample"}


@pytest.fixture(autouse=True)
def exact_float32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@functools.cache
def cases() -> dict[str, list]:
    """ONNX's cases of one operator that we have, by the operator."""
    found: dict[str, list] = {}
    for case in collect_testcases(None):
        kinds = {node.op_type for node in case.model.graph.node}
        if len(kinds) == 1 and kinds <= OPERATORS.keys() and all(map(is_taken, case.data_sets[0][0])):
            found.setdefault(kinds.pop(), []).append(case)
    return found


def is_taken(given: object) -> bool:
    """Whether a case's input is what a network has: a tensor of a common type that holds something."""
    value = np.asarray(given)
    return value.dtype in TYPES and (value.size > 0 or value.ndim == 1)


@pytest.mark.parametrize("operator", sorted(OPERATORS.keys() - OF_OUR_OWN))
def test_an_operator_does_what_onnx_says_or_is_refused(operator: str) -> None:
    done = 0
    for case in cases()[operator]:
        for given, wanted in case.data_sets:
            try:
                module = OnnxModule(case.model.SerializeToString()).to(DEVICE)
                made = module(*on_device(operator, given))
            except (BackendError, NetworkFileError):
                continue
            done += 1
            for tensor, expected in zip(made, wanted, strict=True):
                np.testing.assert_allclose(
                    tensor.cpu().numpy(), np.asarray(expected), rtol=2e-3, atol=1e-4, err_msg=case.name
                )
    assert done


def on_device(operator: str, given: list) -> list[torch.Tensor]:
    """A case's inputs: numbers on the device; whole numbers and sizes, which graphs compute, in the host's memory."""
    tensors = [torch.from_numpy(np.array(value)) for value in given]
    return [
        tensor.to(DEVICE)
        if tensor.is_floating_point() and tensor.dim() and not (operator == "Resize" and at)
        else tensor
        for at, tensor in enumerate(tensors)
    ]


def network(nodes: list, inputs: dict, outputs: dict, weights: dict[str, np.ndarray], opset: int = 17) -> bytes:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def enlarging_to_another_tensors_size() -> bytes:
    """What exporters write for `interpolate(x, size=other.shape[2:])`."""
    return network(
        [
            helper.make_node("MaxPool", ["x"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Shape", ["x"], ["whole"]),
            helper.make_node("Shape", ["small"], ["half"]),
            helper.make_node("Slice", ["whole", "two", "four"], ["size"]),
            helper.make_node("Slice", ["half", "zero", "two"], ["batch"]),
            helper.make_node("Concat", ["batch", "size"], ["sizes"], axis=0),
            helper.make_node("Resize", ["small", "", "", "sizes"], ["large"], mode="linear"),
            helper.make_node("Cast", ["whole"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["floats", "three"], ["width"], axis=0),
            helper.make_node("Div", ["large", "width"], ["y"]),
        ],
        {"x": ["n", 3, 8, 6]},
        {"y": ["n", 3, 8, 6]},
        {name: np.array([value]) for name, value in (("zero", 0), ("two", 2), ("four", 4))} | {"three": np.array(3)},
    )


def test_sizes_are_computed_in_the_hosts_memory() -> None:
    module = OnnxModule(enlarging_to_another_tensors_size())
    x = torch.rand(2, 3, 8, 6)
    small = torch.nn.functional.max_pool2d(x, 2)
    expected = torch.nn.functional.interpolate(small, (8, 6), mode="bilinear") / 6

    (made,) = module.to(DEVICE)(x.to(DEVICE))
    torch.testing.assert_close(made.cpu(), expected)
    # A tensor that has no content: whoever reads a size from the device fails.
    (shape_only,) = module.to("meta")(x.to("meta"))
    assert shape_only.shape == (2, 3, 8, 6)


@pytest.mark.parametrize("axis", [-1, 1])
def test_normalisation_over_the_last_axes(axis: int) -> None:
    scale, bias = np.array([1.0, 2, 3], np.float32), np.array([0.0, 1, 2], np.float32)
    if axis == 1:
        scale, bias = (np.broadcast_to(part, (2, 3)).copy() for part in (scale, bias))
    node = helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["y"], axis=axis)
    module = OnnxModule(network([node], {"x": [4, 2, 3]}, {"y": [4, 2, 3]}, {"scale": scale, "bias": bias}))
    x = torch.rand(4, 2, 3)

    (made,) = module.to(DEVICE)(x.to(DEVICE))
    expected = torch.nn.functional.layer_norm(x, scale.shape, torch.from_numpy(scale), torch.from_numpy(bias))
    torch.testing.assert_close(made.cpu(), expected, rtol=1e-4, atol=1e-5)


def test_upsample_enlarges_from_the_corners_as_onnx_runtime_does() -> None:
    x = np.random.default_rng(1).random((2, 3, 4, 5), np.float32)
    for mode in ("nearest", "linear"):
        node = helper.make_node("Upsample", ["x", "scales"], ["y"], mode=mode)
        scales = np.array([1, 1, 2, 3], np.float32)
        content = network([node], {"x": [2, 3, 4, 5]}, {"y": [2, 3, 8, 15]}, {"scales": scales}, opset=9)

        (made,) = OnnxModule(content).to(DEVICE)(torch.from_numpy(x).to(DEVICE))
        (expected,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x})
        np.testing.assert_allclose(made.cpu().numpy(), expected, rtol=1e-4, atol=1e-5)


class Recurrent(torch.nn.Module):
    """What exporters make shape computations of: attention, a resize to another tensor's size, cuts, a gated state."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.gates = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(16, 16, 3, 1, 1)
        self.candidate, self.norm = torch.nn.Conv2d(16, 8, 3, 1, 1), torch.nn.InstanceNorm2d(8, affine=True)
        self.groups, self.layer = torch.nn.GroupNorm(2, 8), torch.nn.LayerNorm(8)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.enlarge = torch.nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8)
        self.last = torch.nn.Conv2d(8, 1, 1)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        code = self.groups(self.norm(self.encoder(x)))
        reset, update = self.gates(torch.cat([code, state], 1)).sigmoid().chunk(2, 1)
        state = (1 - update) * state + update * self.candidate(torch.cat([code, reset * state], 1)).tanh()
        small = torch.nn.functional.avg_pool2d(state, 4, ceil_mode=True, count_include_pad=False)
        count, channels, rows, columns = small.shape
        tokens = self.layer(small.flatten(2).transpose(1, 2))
        seen, _ = self.attention(tokens, tokens, tokens)
        seen = seen.transpose(1, 2).reshape(count, channels, rows, columns)
        seen = torch.nn.functional.interpolate(seen, size=state.shape[2:], mode="bilinear", align_corners=True)
        large = self.enlarge(torch.nn.functional.gelu(state + seen))
        return self.last(large[:, :, : x.shape[2], : x.shape[3]]).sigmoid(), state


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_what_torch_exports_runs_in_a_graph_as_on_onnx_runtime(opset: int) -> None:
    torch.manual_seed(opset)
    free = {"x": {0: "n"}, "state": {0: "n"}, "y": {0: "n"}, "next": {0: "n"}}
    file = io.BytesIO()
    example = torch.rand(1, 3, 64, 96), torch.rand(1, 8, 32, 48)
    names = {"input_names": ["x", "state"], "output_names": ["y", "next"]}
    torch.onnx.export(Recurrent().eval(), example, file, dynamo=False, opset_version=opset, dynamic_axes=free, **names)
    module = OnnxModule(file.getvalue()).to(DEVICE).eval()
    inputs = [torch.rand(3, *tensor.shape[1:]).to(DEVICE) for tensor in example]

    made = in_graph(module, inputs)

    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    feeds = {name: tensor.cpu().numpy() for name, tensor in zip(module.input_names, inputs, strict=True)}
    for tensor, expected in zip(made, session.run(None, feeds), strict=True):
        np.testing.assert_allclose(tensor.cpu().numpy(), expected, rtol=1e-3, atol=1e-4)
    # Nothing of it asks a device for a size: this one would have no answer.
    assert [tensor.shape for tensor in module.to("meta")(*(tensor.to("meta") for tensor in inputs))] == [
        tensor.shape for tensor in made
    ]


def in_graph(module: OnnxModule, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """What a module gives when it is replayed; on a CPU, when it is called."""
    with torch.inference_mode():
        if DEVICE == "cpu":
            return module(*inputs)
        stream, fed = torch.cuda.Stream(), [torch.zeros_like(tensor) for tensor in inputs]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            module(*fed)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            made = module(*fed)
        for target, tensor in zip(fed, inputs, strict=True):
            target.copy_(tensor)
        torch.cuda.synchronize()
        graph.replay()
        torch.cuda.synchronize()
        return made


def test_only_the_outputs_that_are_wanted_are_kept() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["z"])]
    content = network(nodes, {"x": [2]}, {"y": [2], "z": [2]}, {})

    (made,) = OnnxModule(content, ["z"])(torch.tensor([-1.0, 2.0]))
    assert made.tolist() == [0.0, -2.0]
    with pytest.raises(NetworkFileError, match="no output q"):
        OnnxModule(content, ["q"])


def external() -> bytes:
    model = onnx.load_model_from_string(enlarging_to_another_tensors_size())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model.SerializeToString()


def test_files_that_are_no_network_are_refused() -> None:
    for content in (b"", b"\x00" * 64, enlarging_to_another_tensors_size()[:100]):
        with pytest.raises(NetworkFileError):
            OnnxModule(content)
    with pytest.raises(NetworkFileError, match="another file"):
        OnnxModule(external())


def test_a_few_bytes_do_not_take_all_memory() -> None:
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["huge"]), helper.make_node("Add", ["x", "huge"], ["y"])]
    with pytest.raises(BackendError, match="is not made"):
        OnnxModule(network(nodes, {"x": [1]}, {"y": [1]}, {"shape": np.array([1 << 20, 1 << 20])}))


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("NonMaxSuppression", ["x", "x"], ["y"]),
        helper.make_node("Relu", ["x"], ["y"], domain="com.example"),
        helper.make_node("Dropout", ["x"], ["unused", "y"]),
        helper.make_node("Relu", ["nothing"], ["y"]),
    ],
    ids=["operator", "domain", "second output", "input"],
)
def test_operators_that_are_not_run_are_named_with_the_remedy(node: onnx.NodeProto) -> None:
    nodes = [node, helper.make_node("Relu", ["y"], ["z"])]
    with pytest.raises((BackendError, NetworkFileError)) as caught:
        OnnxModule(network(nodes, {"x": [2]}, {"z": [2]}, {}))
    assert "accelerator cpu" in str(caught.value)
