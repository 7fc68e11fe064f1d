"""Turns the selfie networks, which are published for LiteRT only, into ONNX for GPUs.

    python -m segtriton_server.vision.networks.selfie_onnx --networks .assets/networks

Each `NAME.tflite` of `SELFIE_FILES` gets a `NAME.onnx` beside it. It takes RGB in 0..1, float32 [n, 3, h, w], and gives
the probability of "person", float32 [n, 1, h, w]. Only set-up loads what is imported here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from segtriton_server.device.compile_cache import write_whole
from segtriton_server.vision.errors import NetworkFileError

SELFIE_FILES = ("selfie_segmentation_landscape", "selfie_segmentation")
INPUT, OUTPUT = "picture", "alpha"
# The oldest with HardSwish and the newest that every run time reads.
_OPSET, _IR_VERSION = 17, 8
_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_TRANSPOSED_CONVOLUTION = b"Convolution2DTransposeBias"
_CODES = tflite.BuiltinOperator
# The only layout that the custom operator is read in: SAME padding and a stride of two, as little-endian 32 bits.
_TWICE_AS_LARGE = np.array([1, 2, 2], "<i4").tobytes()


def convert(content: bytes) -> bytes:
    """Return a network as ONNX.

    Args:
        content: a .tflite file with one input [1, h, w, c] and one output.

    Raises:
        NetworkFileError: it is none, or holds an operator that the selfie networks do not have.
    """
    try:
        model = tflite.ModelT.InitFromPackedBuf(content, 0)
        (graph,) = model.subgraphs
        return _Converter(model, graph).convert().SerializeToString()
    except NetworkFileError:
        raise
    except Exception as error:
        raise NetworkFileError(
            f"The file is not a selfie network for LiteRT: {type(error).__name__}: {error}"
        ) from error


class _Converter:
    """Writes one graph, operator by operator; LiteRT's tensors are [n, h, w, c], ONNX's [n, c, h, w]."""

    def __init__(self, model: tflite.ModelT, graph: tflite.SubGraphT) -> None:
        self._model = model
        self._graph = graph
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[TensorProto] = []
        # By the number of a tensor: what it holds, where that is known.
        self._constants = {
            number: value for number in range(len(graph.tensors)) if (value := self._read(number)) is not None
        }

    def convert(self) -> onnx.ModelProto:
        write: dict[int, Callable[[tflite.OperatorT], None]] = {
            _CODES.DEQUANTIZE: self._dequantize,
            _CODES.CONV_2D: self._convolution,
            _CODES.DEPTHWISE_CONV_2D: self._depthwise,
            _CODES.CUSTOM: self._transposed,
            _CODES.MEAN: self._mean,
            _CODES.AVERAGE_POOL_2D: self._mean,
            _CODES.RESIZE_BILINEAR: self._resize,
            _CODES.RELU: lambda operator: self._plain("Relu", operator),
            _CODES.HARD_SWISH: lambda operator: self._plain("HardSwish", operator),
            _CODES.LOGISTIC: lambda operator: self._plain("Sigmoid", operator),
            _CODES.ADD: lambda operator: self._plain("Add", operator),
            _CODES.MUL: lambda operator: self._plain("Mul", operator),
        }
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            if number not in write:
                raise NetworkFileError(f"The selfie networks have no operator {number} of LiteRT.")
            if getattr(operator.builtinOptions, "fusedActivationFunction", 0):
                raise NetworkFileError("The selfie networks have no fused activations.")
            write[number](operator)
        (source,), (result,) = self._graph.inputs, self._graph.outputs
        graph = helper.make_graph(
            self._nodes,
            "selfie",
            [helper.make_tensor_value_info(_name(source), TensorProto.FLOAT, self._shape(source))],
            [helper.make_tensor_value_info(_name(result), TensorProto.FLOAT, self._shape(result))],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        _rename(model.graph, {_name(source): INPUT, _name(result): OUTPUT})
        onnx.checker.check_model(model, full_check=True)
        return model

    def _read(self, number: int) -> NDArray[Any] | None:
        tensor = self._graph.tensors[number]
        content = self._model.buffers[tensor.buffer].data
        if content is None or not len(content):
            return None
        return np.frombuffer(bytes(content), _DTYPES[tensor.type]).reshape(tensor.shape)

    def _shape(self, number: int) -> list[str | int]:
        _, height, width, channels = map(int, self._graph.tensors[number].shape)
        return ["n", channels, height, width]

    def _size_hw(self, number: int) -> tuple[int, int]:
        return int(self._graph.tensors[number].shape[1]), int(self._graph.tensors[number].shape[2])

    def _add(self, kind: str, inputs: Sequence[str], operator: tflite.OperatorT, **attributes: Any) -> None:
        (result,) = operator.outputs
        self._nodes.append(helper.make_node(kind, list(inputs), [_name(result)], **attributes))

    def _plain(self, kind: str, operator: tflite.OperatorT) -> None:
        self._add(kind, [_name(number) for number in operator.inputs], operator)

    def _weight(self, number: int, axes: Sequence[int]) -> str:
        """Keep a constant with its axes in ONNX's order."""
        name = _name(number)
        value = np.ascontiguousarray(self._constants[number].transpose(axes), np.float32)
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def _dequantize(self, operator: tflite.OperatorT) -> None:
        (source,), (result,) = operator.inputs, operator.outputs
        self._constants[result] = self._constants[source].astype(np.float32)

    def _convolution(self, operator: tflite.OperatorT) -> None:
        source, weight, bias = operator.inputs
        inputs = [_name(source), self._weight(weight, (0, 3, 1, 2)), self._weight(bias, (0,))]
        self._add("Conv", inputs, operator, **self._places(operator, self._constants[weight].shape[1:3]))

    def _depthwise(self, operator: tflite.OperatorT) -> None:
        source, weight, bias = operator.inputs
        channels = self._constants[weight].shape[3]
        if operator.builtinOptions.depthMultiplier != 1:
            raise NetworkFileError("The selfie networks have depthwise convolutions with one filter a channel.")
        inputs = [_name(source), self._weight(weight, (3, 0, 1, 2)), self._weight(bias, (0,))]
        self._add(
            "Conv", inputs, operator, group=channels, **self._places(operator, self._constants[weight].shape[1:3])
        )

    def _transposed(self, operator: tflite.OperatorT) -> None:
        name = self._model.operatorCodes[operator.opcodeIndex].customCode
        if name != _TRANSPOSED_CONVOLUTION or bytes(operator.customOptions) != _TWICE_AS_LARGE:
            raise NetworkFileError(f"The selfie networks have no operator {name!r} with these options.")
        source, weight, bias = operator.inputs
        if self._constants[weight].shape[1:3] != (2, 2):
            raise NetworkFileError("The selfie networks enlarge by a transposed convolution of 2x2.")
        inputs = [_name(source), self._weight(weight, (3, 0, 1, 2)), self._weight(bias, (0,))]
        self._add("ConvTranspose", inputs, operator, strides=[2, 2], kernel_shape=[2, 2])

    def _mean(self, operator: tflite.OperatorT) -> None:
        if self._size_hw(operator.outputs[0]) != (1, 1):
            raise NetworkFileError("The selfie networks have means over whole pictures only.")
        self._add("GlobalAveragePool", [_name(operator.inputs[0])], operator)

    def _resize(self, operator: tflite.OperatorT) -> None:
        options, (source, _), (result,) = operator.builtinOptions, operator.inputs, operator.outputs
        (rows, columns), (out_rows, out_columns) = self._size_hw(source), self._size_hw(result)
        if options.alignCorners or not options.halfPixelCenters:
            raise NetworkFileError("The selfie networks enlarge with pixels' centres at their halves.")
        scales = f"scales_{result}"
        self._weights.append(
            numpy_helper.from_array(np.array([1, 1, out_rows / rows, out_columns / columns], np.float32), scales)
        )
        inputs = [_name(source), "", scales]
        self._add("Resize", inputs, operator, mode="linear", coordinate_transformation_mode="half_pixel")

    def _places(self, operator: tflite.OperatorT, kernel_hw: Sequence[int]) -> dict[str, list[int]]:
        """Where a convolution's filter goes; with SAME padding the odd pixel is added below and on the right."""
        options = operator.builtinOptions
        if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
            raise NetworkFileError("The selfie networks have no dilated convolutions.")
        strides = [options.strideH, options.strideW]
        pads = [0, 0]
        if options.padding == tflite.Padding.SAME:
            sides = zip(self._size_hw(operator.inputs[0]), strides, kernel_hw, strict=True)
            pads = [max((-(-side // stride) - 1) * stride + length - side, 0) for side, stride, length in sides]
        begin = [pad // 2 for pad in pads]
        end = [pad - first for pad, first in zip(pads, begin, strict=True)]
        return {"kernel_shape": list(map(int, kernel_hw)), "strides": strides, "pads": [*begin, *end]}


def _name(number: int) -> str:
    return f"t{number}"


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: convert what is there, and say where the files are."""
    parser = argparse.ArgumentParser(
        prog="segtriton_server.vision.networks.selfie_onnx", description="Turn the selfie networks into ONNX."
    )
    parser.add_argument("--networks", type=Path, required=True, help="folder of network files")
    options = parser.parse_args(arguments)
    try:
        for name in SELFIE_FILES:
            path: Path = options.networks / f"{name}.onnx"
            write_whole(path, convert(path.with_suffix(".tflite").read_bytes()))
            sys.stdout.write(f"{path}\n")
    except (NetworkFileError, OSError) as error:
        sys.stderr.write(f"selfie_onnx: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
