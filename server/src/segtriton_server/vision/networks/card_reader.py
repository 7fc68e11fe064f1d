"""Reads the folder of a network that a user brings: `network.yaml` strictly, and against `network.onnx`.

Every mistake is found before anything runs the file, and all mistakes of a card come in one answer. docs/networks.md
has the keys in a table.
"""

from __future__ import annotations

import hashlib
import math
import re
from importlib.util import find_spec
from pathlib import Path

from segtriton_server.vision.errors import NetworkCardError
from segtriton_server.vision.networks import CARD_NAME
from segtriton_server.vision.networks.card import ConstantSpec, InputSpec, NetworkCard, OutputSpec, StateSpec
from segtriton_server.vision.networks.card_fields import Section, is_number, parse_yaml, shown
from segtriton_server.vision.networks.onnx_graph import OnnxGraph, TensorInfo, read_graph, read_network_file

GRAPH_NAME = "network.onnx"

MAX_STATE_BYTES = 16 << 20
_MAX_CARD_BYTES = 256 << 10
_MAX_SIDE = 2048
_MAX_BATCH = 32
_MAX_LABELS = 1000
_MAX_STATES = 64
_MAX_STATE_AXES = 6
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LABEL = re.compile(r"[^,]{1,100}")

_KEYS = (
    *("name", "sha256", "licence", "source", "input", "output", "labels", "default_class", "background_class"),
    *("states", "constants", "batch_sizes"),
)
_INPUT_KEYS = ("tensor", "layout", "height", "width", "color_order", "levels", "mean", "std", "resize")
_OUTPUT_KEYS = ("tensor", "layout", "kind", "foreground")
_STATE_KEYS = ("input", "output", "shape", "start")
_CONSTANT_KEYS = ("tensor", "shape", "value")


def read_card(folder: Path) -> NetworkCard:
    """Return the card of a network's folder, checked against its ONNX file, which nothing runs.

    Raises:
        NetworkCardError: with every mistake of the card and of what the file says of itself.
        NetworkFileError: the ONNX file is missing, too large, or none.
    """
    text = _read_text(folder / CARD_NAME)
    content = read_network_file(folder / GRAPH_NAME)
    graph = read_graph(content)
    mistakes = _find_reaches(graph)
    try:
        wire = parse_yaml(text)
    except ValueError as error:
        raise NetworkCardError((f"{CARD_NAME} {error}", *mistakes)) from None
    card = _Reading(Section(wire, "", _KEYS, mistakes), graph, mistakes).card(folder)
    digest = hashlib.sha256(content).hexdigest()
    if card.sha256 != digest:
        mistakes.append(f"sha256 must be {digest}, that of {GRAPH_NAME}, not {shown(card.sha256)}")
    if mistakes:
        raise NetworkCardError(dict.fromkeys(mistakes))
    return card


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise NetworkCardError([f"{path.parent.name or path.parent} has no {path.name}"])
        with path.open("rb") as file:
            content = file.read(_MAX_CARD_BYTES + 1)
        if len(content) > _MAX_CARD_BYTES:
            raise NetworkCardError([f"{path.name} must have at most {_MAX_CARD_BYTES} bytes"])
        return content.decode()
    except OSError as error:
        raise NetworkCardError([f"{path.name} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise NetworkCardError([f"{path.name} must be UTF-8"]) from None


def _find_reaches(graph: OnnxGraph) -> list[str]:
    mistakes = []
    if graph.foreign_operators:
        mistakes.append(
            f"{GRAPH_NAME} must have ONNX's own operators only, and has {_some(graph.foreign_operators)}; "
            "export it without custom operators"
        )
    if graph.external_tensors:
        mistakes.append(
            f"{GRAPH_NAME} must hold all its data, and those of {_some(graph.external_tensors)} lie in other files; "
            "save it as one file"
        )
    return mistakes


def _some(names: set[str]) -> str:
    first = sorted(names)[:5]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return ", ".join(map(shown, first)) + more


class _Reading:
    """Reads one card; what is wrong goes into `mistakes`, and reading goes on."""

    def __init__(self, root: Section, graph: OnnxGraph, mistakes: list[str]) -> None:
        self._root = root
        self._graph = graph
        self._mistakes = mistakes

    def card(self, folder: Path) -> NetworkCard:
        """Return the card, which is good only if there was no mistake."""
        root = self._root
        labels = self._labels()
        states = tuple(self._state(section) for section in root.sections("states", _STATE_KEYS, _MAX_STATES))
        constants = tuple(
            self._constant(section) for section in root.sections("constants", _CONSTANT_KEYS, _MAX_STATES)
        )
        card = NetworkCard(
            name=self._name(folder),
            file=folder / GRAPH_NAME,
            sha256=self._sha256(),
            licence=root.text("licence"),
            source=root.text("source"),
            input=self._input(),
            output=self._output(labels),
            labels=labels,
            default_class=self._label("default_class", labels),
            background_class=self._label("background_class", labels) if root.has("background_class") else None,
            states=states,
            constants=constants,
            batch_sizes=self._batch_sizes(),
        )
        self._check_whole(card)
        return card

    # ---------------------------------------------------------------- the network

    def _name(self, folder: Path) -> str:
        name = self._root.text("name", 63)
        if name and (not _NAME.fullmatch(name) or name.endswith("_streaming")):
            self._root.refuse("name", "lower-case letters, digits, _ and -, and not end in _streaming")
        elif name and find_spec(f"{__package__}.{name}"):
            self._root.refuse("name", "another than those of the networks that come with the server")
        elif name and name != folder.resolve().name:
            self._root.refuse("name", f"that of its folder, {shown(folder.resolve().name)}")
        return name

    def _sha256(self) -> str:
        value = self._root.value("sha256")
        return value if isinstance(value, str) else ""

    def _labels(self) -> tuple[str, ...]:
        values = self._root.value("labels")
        if not isinstance(values, list) or not 0 < len(values) <= _MAX_LABELS:
            self._root.refuse("labels", f"a list of 1 to {_MAX_LABELS} texts")
            return ()
        for at, value in enumerate(values):
            if not isinstance(value, str) or not _LABEL.fullmatch(value) or not _is_plain(value):
                self._mistakes.append(
                    f"labels[{at}] must be a text (in quotes if it is a number, yes or no) of 1 to 100 printable "
                    f"characters without a comma or a space at its ends, not {shown(value)}"
                )
            elif value in values[:at]:
                self._mistakes.append(f"labels[{at}] must be another than labels[{values.index(value)}], {value!r}")
        return tuple(map(str, values))

    def _label(self, key: str, labels: tuple[str, ...]) -> str:
        value = self._root.value(key)
        if isinstance(value, str) and value in labels:
            return value
        self._root.refuse(key, f"one of the labels: {shown(list(labels))}")
        return ""

    def _batch_sizes(self) -> tuple[int, ...]:
        sizes = self._root.integers("batch_sizes", 1, _MAX_BATCH, _MAX_BATCH)
        if sizes[0] != 1 or list(sizes) != sorted(set(sizes)):
            self._root.refuse("batch_sizes", "rising, and begin with 1")
        return sizes

    # ---------------------------------------------------------------- its tensors

    def _input(self) -> InputSpec:
        section = Section(self._root.value("input"), "input", _INPUT_KEYS, self._mistakes)
        info, tensor = self._tensor(section, "tensor", self._graph.inputs)
        spec = InputSpec(
            tensor=tensor,
            layout=section.choice("layout", ("NHWC", "NCHW")),
            size_hw=(section.integer("height", 8, _MAX_SIDE), section.integer("width", 8, _MAX_SIDE)),
            color_order=section.choice("color_order", ("rgb", "bgr")),
            levels=section.choice("levels", (1, 255)),
            mean=_three(section, "mean"),
            std=_three(section, "std", is_divisor=True),
            resize=section.choice("resize", ("stretch", "letterbox")),
            data_type=(info and info.data_type) or "float32",
        )
        if info is not None:
            channels = {"NHWC": (*spec.size_hw, 3), "NCHW": (3, *spec.size_hw)}[spec.layout]
            self._check_shape(section.name("tensor"), tensor, info, channels)
        return spec

    def _output(self, labels: tuple[str, ...]) -> OutputSpec:
        section = Section(self._root.value("output"), "output", _OUTPUT_KEYS, self._mistakes)
        info, tensor = self._tensor(section, "tensor", self._graph.outputs)
        spec = OutputSpec(
            tensor=tensor,
            layout=section.choice("layout", ("NHWC", "NCHW")),
            kind=section.choice("kind", ("scores", "probabilities", "alpha")),
            foreground=self._tensor(section, "foreground", self._graph.outputs)[1]
            if section.has("foreground")
            else None,
        )
        if spec.kind == "alpha" and (len(labels) != 2 or not self._root.has("background_class")):
            self._mistakes.append(
                "labels must be two where output.kind is alpha, one of them the background_class, "
                f"not {shown(list(labels))}"
            )
        if info is not None:
            channels = 1 if spec.kind == "alpha" else len(labels)
            self._check_shape(
                section.name("tensor"),
                tensor,
                info,
                {"NHWC": (None, None, channels), "NCHW": (channels, None, None)}[spec.layout],
                "one plane for an alpha" if spec.kind == "alpha" else f"as many channels as labels, {channels}",
            )
        return spec

    def _state(self, section: Section) -> StateSpec:
        info, fed = self._tensor(section, "input", self._graph.inputs)
        _, returned = self._tensor(section, "output", self._graph.outputs)
        shape = section.integers("shape", 1, 1 << 16, _MAX_STATE_AXES)
        if shape[0] != 1:
            section.refuse("shape", "that of one session: its first axis is the batch's and 1")
        if info is not None:
            self._check_axes(section.name("shape"), fed, info, shape)
        return StateSpec(fed, returned, shape, section.number("start"), (info and info.data_type) or "float32")

    def _constant(self, section: Section) -> ConstantSpec:
        info, tensor = self._tensor(section, "tensor", self._graph.inputs)
        shape = section.integers("shape", 1, 1 << 16, _MAX_STATE_AXES)
        if math.prod(shape) > 1 << 16:
            section.refuse("shape", f"that of at most {1 << 16} elements")
        if info is not None:
            self._check_axes(section.name("shape"), tensor, info, shape)
        return ConstantSpec(tensor, shape, section.number("value"), (info and info.data_type) or "float32")

    def _tensor(self, section: Section, key: str, there: dict[str, TensorInfo]) -> tuple[TensorInfo | None, str]:
        """Return what the graph says of a tensor that the card names, None unless it can be taken."""
        name = section.text(key)
        if not name:
            return None, name
        if name not in there:
            section.refuse(key, f"one that the graph has: {_some(set(there)) or 'it has none'}")
            return None, name
        if not there[name].data_type:
            self._mistakes.append(f"{section.name(key)}: {shown(name)} must be of type float32 or float16 in the graph")
            return None, name
        return there[name], name

    def _check_shape(
        self, key: str, tensor: str, info: TensorInfo, wanted: tuple[int | None, ...], note: str = ""
    ) -> None:
        """Check a tensor of the batch's axis and three others; None fits any length."""
        have = info.shape
        if have is None:
            return  # the file does not say; the first run shows it
        fits = len(have) == 4 and all(
            None in (want, length) or want == length for want, length in zip(wanted, have[1:], strict=True)
        )
        if not fits:
            wanted_text = f"[batch, {', '.join('any' if want is None else str(want) for want in wanted)}]"
            self._mistakes.append(
                f"{key}: {shown(tensor)} must have the shape {wanted_text}{note and f' ({note})'}, by layout and size, "
                f"and the graph has {_shape_text(have)}"
            )

    def _check_axes(self, key: str, tensor: str, info: TensorInfo, shape: tuple[int, ...]) -> None:
        have = info.shape
        if have is not None and not (
            len(have) == len(shape)
            and all(length is None or length == want for length, want in zip(have, shape, strict=True))
        ):
            self._mistakes.append(f"{key} must fit {shown(tensor)}, which is {_shape_text(have)}, not {list(shape)}")

    # ---------------------------------------------------------------- all together

    def _check_whole(self, card: NetworkCard) -> None:
        fed = [card.input.tensor, *(s.input for s in card.states), *(c.tensor for c in card.constants)]
        for name in self._graph.inputs:
            if fed.count(name) != 1:
                self._mistakes.append(
                    f"the graph's input {shown(name)} must be named once, as input.tensor, in states or in constants, "
                    f"not {fed.count(name)} times"
                )
        if card.state_bytes > MAX_STATE_BYTES:
            self._mistakes.append(f"states must take at most {MAX_STATE_BYTES} bytes a session, not {card.state_bytes}")
        info = self._graph.inputs.get(card.input.tensor)
        if info is not None and info.shape and info.shape[0] is not None:
            if info.shape[0] != 1:
                self._mistakes.append(
                    f"input.tensor: the graph's batch axis must be free or 1, not {info.shape[0]}; export it so"
                )
            elif card.batch_sizes != (1,):
                self._root.refuse("batch_sizes", "[1], as the graph's batch axis is 1")


def _three(section: Section, key: str, *, is_divisor: bool = False) -> tuple[float, float, float]:
    values = section.value(key)
    are_numbers = isinstance(values, list) and len(values) == 3 and all(map(is_number, values))
    if are_numbers and (not is_divisor or min(values) > 0):
        return (float(values[0]), float(values[1]), float(values[2]))
    section.refuse(key, f"a list of three numbers{' above 0' if is_divisor else ''}, one for each channel")
    return (1.0, 1.0, 1.0)


def _is_plain(text: str) -> bool:
    return text.isprintable() and text == text.strip()


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('any' if length is None else str(length) for length in shape)}]"
