"""What an ONNX file says of itself, read without running or trusting any of it.

The file is a protocol buffer (onnx.proto of the ONNX project). Only the fields that are asked for here are looked at:
weights are skipped where they lie, so that reading a large file costs little, and no library sees the bytes before they
have been judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from segtriton_server.vision.errors import NetworkFileError

MAX_FILE_BYTES = 1 << 30

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 4_000_000
_MAX_DEPTH = 16
_EXTERNAL = 1
_MAX_NAME = 200

# Of TensorProto.DataType: those that the server can feed or read.
_DATA_TYPES = {1: "float32", 10: "float16"}

# Numbers of fields, by message.
_GRAPH_OF_MODEL, _FUNCTION_OF_MODEL, _NODE_OF_FUNCTION = 7, 25, 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE_INITIALIZER = 1, 5, 11, 12, 15
_OPERATOR, _ATTRIBUTE, _DOMAIN = 4, 5, 7
_TENSORS_OF_ATTRIBUTE, _GRAPHS_OF_ATTRIBUTE, _SPARSE_OF_ATTRIBUTE = (5, 10), (6, 11), (22, 23)
_TENSORS_OF_SPARSE = (1, 2)
_NAME_OF_TENSOR, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14

_Buffer = memoryview


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a graph.

    Attributes:
        data_type: NumPy's name of the elements' type; empty for one that the server cannot feed or read.
        shape: the length of each axis, None for one that is free; None for a tensor whose shape the file does not say.
    """

    data_type: str
    shape: tuple[int | None, ...] | None


@dataclass(slots=True)
class OnnxGraph:
    """A graph's face, and what in it would reach beyond the file.

    Attributes:
        inputs: what must be fed, by name.
        outputs: what comes out, by name.
        foreign_operators: operators that are not ONNX's own, as `domain.Operator`.
        external_tensors: names of tensors whose data lie in other files.
    """

    inputs: dict[str, TensorInfo] = field(default_factory=dict)
    outputs: dict[str, TensorInfo] = field(default_factory=dict)
    foreign_operators: set[str] = field(default_factory=set)
    external_tensors: set[str] = field(default_factory=set)


def read_network_file(path: Path) -> bytes:
    """Return the bytes of a network's file.

    Raises:
        NetworkFileError: it cannot be read, is no plain file, or has more than `MAX_FILE_BYTES`.
    """
    try:
        if not path.is_file():
            raise NetworkFileError(f"{path.name} is missing, or no plain file")
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise NetworkFileError(f"{path.name} has {size} bytes, and at most {MAX_FILE_BYTES} are taken")
        with path.open("rb") as file:
            content = file.read(size + 1)
    except OSError as error:
        raise NetworkFileError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) != size:
        raise NetworkFileError(f"{path.name} changes while it is read")
    return content


def read_graph(content: bytes) -> OnnxGraph:
    """Return what an ONNX file says of itself.

    Raises:
        NetworkFileError: the bytes are no ONNX file.
    """
    graph = OnnxGraph()
    reader = _Reader()
    fed_by_itself: set[str] = set()
    num_graphs = 0
    for number, value in reader.fields(memoryview(content)):
        if number == _GRAPH_OF_MODEL and isinstance(value, _Buffer):
            num_graphs += 1
            fed_by_itself |= _read_body(reader, value, graph, depth=0, is_outermost=True)
        elif number == _FUNCTION_OF_MODEL and isinstance(value, _Buffer):
            _read_nodes(reader, value, _NODE_OF_FUNCTION, graph, depth=0)
    if num_graphs != 1:
        raise NetworkFileError(f"the file is no ONNX file: it holds {'two graphs' if num_graphs else 'no graph'}")
    for name in fed_by_itself:
        graph.inputs.pop(name, None)
    return graph


def _read_body(reader: _Reader, body: _Buffer, graph: OnnxGraph, depth: int, *, is_outermost: bool) -> set[str]:
    """Look through a graph; return the names of its initializers."""
    if depth > _MAX_DEPTH:
        raise NetworkFileError(f"graphs lie in graphs more than {_MAX_DEPTH} deep")
    initializers = set()
    for number, value in reader.fields(body):
        if not isinstance(value, _Buffer):
            continue
        if number == _INITIALIZER:
            initializers.add(_note_tensor(reader, value, graph))
        elif number == _SPARSE_INITIALIZER:
            initializers.add(_note_sparse(reader, value, graph))
        elif number in (_INPUT, _OUTPUT) and is_outermost:
            name, info = _read_value(reader, value)
            (graph.inputs if number == _INPUT else graph.outputs)[name] = info
    _read_nodes(reader, body, _NODE, graph, depth)
    return initializers


def _read_nodes(reader: _Reader, body: _Buffer, node_number: int, graph: OnnxGraph, depth: int) -> None:
    for number, value in reader.fields(body):
        if number == node_number and isinstance(value, _Buffer):
            _read_node(reader, value, graph, depth)


def _read_node(reader: _Reader, node: _Buffer, graph: OnnxGraph, depth: int) -> None:
    operator = domain = ""
    for number, value in reader.fields(node):
        if not isinstance(value, _Buffer):
            continue
        if number == _OPERATOR:
            operator = _text(value)
        elif number == _DOMAIN:
            domain = _text(value)
        elif number == _ATTRIBUTE:
            _read_attribute(reader, value, graph, depth)
    if domain not in ("", "ai.onnx"):
        graph.foreign_operators.add(f"{domain}.{operator}")


def _read_attribute(reader: _Reader, attribute: _Buffer, graph: OnnxGraph, depth: int) -> None:
    for number, value in reader.fields(attribute):
        if not isinstance(value, _Buffer):
            continue
        if number in _TENSORS_OF_ATTRIBUTE:
            _note_tensor(reader, value, graph)
        elif number in _SPARSE_OF_ATTRIBUTE:
            _note_sparse(reader, value, graph)
        elif number in _GRAPHS_OF_ATTRIBUTE:
            _read_body(reader, value, graph, depth + 1, is_outermost=False)


def _note_sparse(reader: _Reader, sparse: _Buffer, graph: OnnxGraph) -> str:
    """Note the two tensors of a sparse one; return its name, which is that of the first."""
    names = [
        _note_tensor(reader, value, graph)
        for number, value in reader.fields(sparse)
        if number in _TENSORS_OF_SPARSE and isinstance(value, _Buffer)
    ]
    return names[0] if names else ""


def _note_tensor(reader: _Reader, tensor: _Buffer, graph: OnnxGraph) -> str:
    """Note where a tensor's data lie; return its name."""
    name = ""
    is_external = False
    for number, value in reader.fields(tensor):
        if number == _NAME_OF_TENSOR and isinstance(value, _Buffer):
            name = _text(value)
        is_external |= number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value == _EXTERNAL)
    if is_external:
        graph.external_tensors.add(name)
    return name


def _read_value(reader: _Reader, info: _Buffer) -> tuple[str, TensorInfo]:
    """Return the name and kind of a graph's input or output (a ValueInfoProto)."""
    name = b""
    data_type, shape = "", None
    for number, value in reader.fields(info):
        if number == 1 and isinstance(value, _Buffer):
            name = value.tobytes()
        elif number == 2 and isinstance(value, _Buffer):
            for kind, tensor in reader.fields(value):
                if kind == 1 and isinstance(tensor, _Buffer):
                    data_type, shape = _read_type(reader, tensor)
    return _text(memoryview(name)), TensorInfo(data_type, shape)


def _read_type(reader: _Reader, tensor: _Buffer) -> tuple[str, tuple[int | None, ...] | None]:
    data_type, shape = "", None
    for number, value in reader.fields(tensor):
        if number == 1 and isinstance(value, int):
            data_type = _DATA_TYPES.get(value, "")
        elif number == 2 and isinstance(value, _Buffer):
            shape = tuple(
                _read_axis(reader, axis)
                for kind, axis in reader.fields(value)
                if kind == 1 and isinstance(axis, _Buffer)
            )
    return data_type, shape


def _read_axis(reader: _Reader, axis: _Buffer) -> int | None:
    lengths = [value for number, value in reader.fields(axis) if number == 1 and isinstance(value, int)]
    return lengths[-1] if lengths and 0 < lengths[-1] < 1 << 31 else None


def _text(value: _Buffer) -> str:
    return value[:_MAX_NAME].tobytes().decode(errors="replace")


class _Reader:
    """Reads the fields of protocol buffers, and not more than `_MAX_FIELDS` of them in all."""

    def __init__(self) -> None:
        self._num_fields = 0

    def fields(self, message: _Buffer) -> Iterator[tuple[int, int | _Buffer]]:
        """The fields of a message: number and value, an integer or the bytes of what has a length."""
        at = 0
        while at < len(message):
            self._num_fields += 1
            if self._num_fields > _MAX_FIELDS:
                raise NetworkFileError(f"the file has more than {_MAX_FIELDS} parts")
            key, at = _varint(message, at)
            number, kind = key >> 3, key & 7
            value: int | _Buffer
            if kind == _VARINT:
                value, at = _varint(message, at)
            elif kind == _BYTES:
                length, at = _varint(message, at)
                value, at = _slice(message, at, length)
            elif kind in _FIXED_BYTES:
                value, at = _slice(message, at, _FIXED_BYTES[kind])
            else:
                raise NetworkFileError("the file is no ONNX file: a field has a kind that there is not")
            yield number, value


def _slice(message: _Buffer, at: int, length: int) -> tuple[_Buffer, int]:
    if length > len(message) - at:
        raise NetworkFileError("the file is no ONNX file, or cut off: a field ends behind its end")
    return message[at : at + length], at + length


def _varint(message: _Buffer, at: int) -> tuple[int, int]:
    value = 0
    for position, byte in enumerate(message[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, at + position + 1
    raise NetworkFileError("the file is no ONNX file, or cut off: a number has no end")
