"""An ONNX graph as a torch module: its nodes are called in their order, which costs nothing once a CUDA graph has them.

Whole numbers (sizes, axes, indices) and what is computed of them stay in the host's memory: torch takes sizes from
there, and under capture a device can be asked for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from segtriton_server.vision.errors import BackendError, NetworkFileError
from segtriton_server.vision.gpu.onnx_operators import OPERATORS, Attributes, Operator, is_on_device

# Operators that are folded when the file is read, beside those of the table.
_CONSTANT = "Constant"
# The one that brings what is on the device to the host's memory.
_SHAPE = "Shape"
# Constants up to this size may be sizes or factors of sizes, and are kept in the host's memory, too.
_MOST_NUMBERS_OF_A_SIZE = 16
_REMEDY = "Let it run on a CPU (accelerator cpu), or export it with other operators."


@dataclass(slots=True)
class _Node:
    """A node of the graph.

    Attributes:
        name: of the operator.
        call: what it does.
        attributes: what `call` takes first.
        inputs: names of tensors, empty where one is left out.
        outputs: names of what it makes.
        is_on_host: whether it computes sizes, of what is in the host's memory.
        done: names that no later node takes.
    """

    name: str
    call: Operator
    attributes: Attributes
    inputs: Sequence[str]
    outputs: Sequence[str]
    is_on_host: bool = False
    done: list[str] = field(default_factory=list)


class OnnxModule(nn.Module):
    """A graph whose floating point is that of the inputs; weights move and change type as those of any module.

    Attributes:
        input_names: what must be fed, in the order that `forward` takes.
        output_names: what `forward` returns.
    """

    def __init__(
        self, content: bytes, output_names: Sequence[str] = (), constants: Mapping[str, Tensor] = MappingProxyType({})
    ) -> None:
        """Read a file.

        Args:
            content: the file; data in other files are refused, as are operators that are not ONNX's own.
            output_names: which of the graph's outputs are wanted; all by default.
            constants: inputs that never change, by name.

        Raises:
            NetworkFileError: it is no ONNX file that can be read, or lacks such an output.
            BackendError: it holds operators that are not run on a GPU.
        """
        super().__init__()
        graph, self._opset = _read(content)
        # By name: in the host's memory, and the name of the same among the module's weights.
        self._host: dict[str, Tensor] = {}
        self._weights: dict[str, str] = {}
        # What came from the host's memory to the device, by its place and its content.
        self._copies: dict[tuple[object, ...], Tensor] = {}
        for tensor in graph.initializer:
            self._keep(tensor.name, _to_torch(tensor))
        for name, value in constants.items():
            self._keep(name, value)
        self.input_names = tuple(value.name for value in graph.input if value.name not in self._known)
        self.output_names = tuple(output_names) or tuple(value.name for value in graph.output)
        self._nodes = self._read_nodes(graph)
        self._let_go_early()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the graph; inputs and outputs are in the order of their names.

        Raises:
            BackendError: an operator is not run in the way that the graph asks for.
        """
        values = dict(zip(self.input_names, inputs, strict=True))
        like = next((value for value in inputs if value.is_floating_point()), inputs[0])
        for number, node in enumerate(self._nodes):
            arguments = self._arguments(number, node, values, like)
            try:
                made = node.call({**node.attributes, "float": like.dtype}, *arguments)
            except (ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
                raise BackendError(f"The operator {node.name} does not run: {error}. {_REMEDY}") from error
            results = [made] if isinstance(made, Tensor) else made
            values.update(zip(node.outputs, results, strict=False))
            for name in node.done:
                values.pop(name, None)
        return tuple(self._value(name, values) for name in self.output_names)

    @property
    def _known(self) -> set[str]:
        return self._host.keys() | self._weights.keys()

    def _keep(self, name: str, value: Tensor) -> None:
        if value.is_floating_point():
            attribute = f"weight_{len(self._weights)}"
            self.register_buffer(attribute, value.float())
            self._weights[name] = attribute
            if value.numel() > _MOST_NUMBERS_OF_A_SIZE:
                return
        self._host[name] = value

    def _read_nodes(self, graph: onnx.GraphProto) -> list[_Node]:
        refused = {node.op_type for node in graph.node} - OPERATORS.keys() - {_CONSTANT}
        refused |= {f"{node.domain}.{node.op_type}" for node in graph.node if node.domain not in ("", "ai.onnx")}
        if refused:
            raise BackendError(
                f"The network has operators that a GPU does not run: {', '.join(sorted(refused))}. {_REMEDY}"
            )
        nodes = []
        on_host = set(self._host)
        for node in graph.node:
            attributes = {attribute.name: _read_attribute(attribute) for attribute in node.attribute}
            if node.op_type == _CONSTANT:
                self._keep(node.output[0], _constant(attributes))
                on_host |= self._host.keys()
                continue
            attributes |= {"opset": self._opset, "num_outputs": len(node.output)}
            # Of the others, what comes second (a mask, indices) is for training.
            outputs = tuple(node.output if node.op_type == "Split" else node.output[:1])
            read = _Node(node.op_type, OPERATORS[node.op_type], attributes, tuple(node.input), outputs)
            if self._fold(read):
                on_host |= self._host.keys()
                continue
            read.is_on_host = all(name in on_host for name in read.inputs if name)
            if read.is_on_host or read.name == _SHAPE:
                on_host.update(outputs)
            nodes.append(read)
        made = {name for node in nodes for name in node.outputs} | self._known | set(self.input_names)
        if lacking := set(self.output_names) - made:
            raise NetworkFileError(f"the network has no output {', '.join(sorted(lacking))}")
        if lacking := {name for node in nodes for name in node.inputs if name} - made:
            raise BackendError(
                f"The network takes what no operator makes on a GPU: {', '.join(sorted(lacking))}. {_REMEDY}"
            )
        return nodes

    def _fold(self, node: _Node) -> bool:
        """Compute at once what follows from constants in the host's memory alone."""
        if not node.inputs or not all(name in self._host for name in node.inputs if name):
            return False
        arguments = [self._host[name] if name else None for name in node.inputs]
        try:
            made = node.call({**node.attributes, "float": torch.float32}, *arguments)
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
            raise BackendError(f"The operator {node.name} does not run: {error}. {_REMEDY}") from error
        for name, value in zip(node.outputs, [made] if isinstance(made, Tensor) else made, strict=False):
            self._keep(name, value.contiguous())
        return True

    def _let_go_early(self) -> None:
        """Note for each node what is taken for the last time: its memory serves the next ones."""
        seen = set(self.output_names)
        for node in reversed(self._nodes):
            names = [name for name in (*node.inputs, *node.outputs) if name and name not in seen]
            node.done = names
            seen.update(names)

    def _value(self, name: str, values: dict[str, Tensor]) -> Tensor:
        if name in values:
            return values[name]
        if name in self._weights:
            weight: Tensor = getattr(self, self._weights[name])
            return weight
        return self._host[name]

    def _arguments(self, number: int, node: _Node, values: dict[str, Tensor], like: Tensor) -> list[Tensor | None]:
        """A node's inputs: sizes as they are in the host's memory, all else on the device and of the type of `like`."""
        arguments: list[Tensor | None] = []
        sizes = range(len(node.inputs)) if node.is_on_host else _SIZES.get(node.name, ())
        for at, name in enumerate(node.inputs):
            if not name:
                arguments.append(None)
            elif at in sizes and name in self._host:
                arguments.append(self._host[name])
            else:
                value = self._value(name, values)
                is_wanted_here = at in sizes or (node.name == "Gather" and value.dim() == 0)
                arguments.append(value if is_wanted_here else self._beside(number, at, value, like))
        return arguments

    def _beside(self, number: int, at: int, value: Tensor, like: Tensor) -> Tensor:
        """The same on the device; kept, as a graph under capture takes nothing from the host."""
        dtype = like.dtype if value.is_floating_point() and like.is_floating_point() else value.dtype
        if value.device == like.device or is_on_device(value):
            return value.to(dtype)
        key = number, at, like.device, dtype, tuple(value.shape), value.numpy().tobytes()
        if key not in self._copies:
            self._copies[key] = value.to(like.device, dtype)
        return self._copies[key]


# Which inputs of an operator are sizes, axes or single numbers that torch takes from the host's memory.
_SIZES: dict[str, Sequence[int]] = {
    "Dropout": (1, 2),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "ReduceL2": (1,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}


def _read(content: bytes) -> tuple[onnx.GraphProto, int]:
    try:
        model = onnx.load_model_from_string(content)
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    except Exception as error:
        raise NetworkFileError("the file is no ONNX file that can be read") from error
    return model.graph, opset


def _to_torch(tensor: onnx.TensorProto) -> Tensor:
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise NetworkFileError(f"the data of {tensor.name!r:.80} lie in another file; save the network as one file")
    try:
        array = numpy_helper.to_array(tensor)
        return torch.from_numpy(array.astype("float32") if tensor.data_type == tensor.BFLOAT16 else array.copy())
    except (TypeError, ValueError) as error:
        raise NetworkFileError(f"the data of {tensor.name!r:.80} cannot be read: {error}") from error


def _read_attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, onnx.TensorProto):
        return _to_torch(value)
    return value if isinstance(value, int | float) else list(value)


def _constant(attributes: Attributes) -> Tensor:
    (value,) = attributes.values()
    if isinstance(value, Tensor):
        return value
    numbers = value if isinstance(value, list) else [value]
    kind = torch.int64 if all(isinstance(number, int) for number in numbers) else torch.float32
    return torch.tensor(value, dtype=kind)
