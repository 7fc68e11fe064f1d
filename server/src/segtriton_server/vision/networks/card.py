"""The card of a network that a user brings: what its ONNX file cannot say, as data.

`card_reader` makes it from a folder's `network.yaml`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from segtriton_server.vision.errors import NetworkFileError
from segtriton_server.vision.networks.onnx_graph import read_network_file

Layout = Literal["NHWC", "NCHW"]
OutputKind = Literal["scores", "probabilities", "alpha"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a picture becomes the network's input.

    A sample is (level * levels / 255 - mean) / std, where level is 0 to 255.

    Attributes:
        tensor: name of the graph's input.
        layout: order of its axes.
        size_hw: height and width that it gets.
        color_order: which of red and blue comes first.
        levels: what the brightest level becomes before mean and std: 1 or 255.
        mean: for each channel, in the order of the channels.
        std: the same.
        resize: "stretch" fills the input; "letterbox" keeps the picture's aspect, in the middle, with zeros around.
        data_type: NumPy's name of its elements' type, as the graph has it: "float32" or "float16".
    """

    tensor: str
    layout: Layout
    size_hw: tuple[int, int]
    color_order: Literal["rgb", "bgr"]
    levels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["stretch", "letterbox"]
    data_type: str = "float32"

    @property
    def scale(self) -> tuple[float, ...]:
        """What levels of 0 to 255 are multiplied by, for each channel in the order of the channels."""
        return tuple(self.levels / (255 * std) for std in self.std)

    @property
    def offset(self) -> tuple[float, ...]:
        """What is added then."""
        return tuple(-mean / std for mean, std in zip(self.mean, self.std, strict=True))

    def content_hw(self, shown_hw: tuple[int, int]) -> tuple[int, int]:
        """Return what of the input a picture of such a height and width takes, in the middle."""
        if self.resize == "stretch":
            return self.size_hw
        scale = min(have / want for have, want in zip(self.size_hw, shown_hw, strict=True))
        height, width = (
            max(1, min(have, round(side * scale))) for have, side in zip(self.size_hw, shown_hw, strict=True)
        )
        return height, width

    def content_slices(self, content_hw: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the rows and columns of the input where a picture of `content_hw` lies."""
        tops = [(have - want) // 2 for have, want in zip(self.size_hw, content_hw, strict=True)]
        return slice(tops[0], tops[0] + content_hw[0]), slice(tops[1], tops[1] + content_hw[1])


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What the network's output means.

    Attributes:
        tensor: name of the graph's output.
        layout: order of its axes.
        kind: "scores" of each label, of which a softmax makes probabilities; "probabilities" of each label; or "alpha",
            one plane of 0 to 1: the probability of the label that is not the background.
        foreground: name of the output with the foreground's colours; None where there is none.
    """

    tensor: str
    layout: Layout
    kind: OutputKind
    foreground: str | None = None


@dataclass(frozen=True, slots=True)
class StateSpec:
    """A tensor that comes out of one run and goes into the next, for each session.

    Attributes:
        input: name of the graph's input.
        output: name of the graph's output that it is next time.
        shape: of one session; the first axis is the batch's and 1.
        start: the value of all elements at a session's first frame.
        data_type: NumPy's name of its elements' type.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    start: float
    data_type: str = "float32"


@dataclass(frozen=True, slots=True)
class ConstantSpec:
    """An input that is the same in each run, whatever the batch: all its elements have one value."""

    tensor: str
    shape: tuple[int, ...]
    value: float
    data_type: str = "float32"


@dataclass(frozen=True, slots=True)
class NetworkCard:
    """A network that a user brings.

    Attributes:
        name: as clients ask for it; its folder's name.
        file: the ONNX file.
        sha256: of that file.
        licence: of the weights.
        source: where it comes from.
        input: how its input is made.
        output: what its output means.
        labels: names of its classes; the position is the channel.
        default_class: the class of sessions that name none.
        background_class: the label of what is no object; None where there is none.
        states: what it keeps from frame to frame; empty for most networks.
        constants: inputs that never change.
        batch_sizes: how many pictures go into one run, rising, the first is 1.
    """

    name: str
    file: Path
    sha256: str
    licence: str
    source: str
    input: InputSpec
    output: OutputSpec
    labels: tuple[str, ...]
    default_class: str
    background_class: str | None
    states: tuple[StateSpec, ...]
    batch_sizes: tuple[int, ...]
    constants: tuple[ConstantSpec, ...] = ()

    @property
    def state_bytes(self) -> int:
        """What a session's state takes."""
        return sum(math.prod(state.shape) * np.dtype(state.data_type).itemsize for state in self.states)

    def read_file(self) -> bytes:
        """Return the bytes of the ONNX file; raises NetworkFileError unless they are those that the card names."""
        content = read_network_file(self.file)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise NetworkFileError(f"{self.file.name} of {self.name} is not the file that its card names by sha256")
        return content
