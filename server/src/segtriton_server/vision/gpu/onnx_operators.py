"""ONNX's operators as calls of torch, by name. What a network needs more than these is refused when it is loaded.

Each takes the node's attributes and its inputs, None for one that is left out, and returns a tensor, or several. Sizes,
axes and indices come as tensors in the host's memory: reading them makes nobody wait for a device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Attributes = Mapping[str, Any]
Operator = Callable[..., Any]

# Of TensorProto.DataType. All kinds of floating point are computed in the network's own.
_INTEGERS = {2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool}
_FLOATS = (1, 10, 11, 16)
_MOST_ELEMENTS = 1 << 28
# What a factor in float32 may leave over.
_PART_OF_A_PIXEL = 1e-2


def is_on_device(value: Tensor | None) -> bool:
    """Whether a tensor lies elsewhere than in the host's memory."""
    return value is not None and value.device.type != "cpu"


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda _, a, b: function(a, b)


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda _, x: function(x)


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def fold(_: Attributes, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return fold


def _divide(_: Attributes, a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _modulo(attributes: Attributes, a: Tensor, b: Tensor) -> Tensor:
    return torch.fmod(a, b) if attributes.get("fmod", 0) else torch.remainder(a, b)


def _clip(attributes: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least: Any = attributes.get("min") if low is None else low
    most: Any = attributes.get("max") if high is None else high
    if least is None and most is None:
        return x
    return torch.clamp(x, least, most)


def _prelu(_: Attributes, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


def _dropout(_: Attributes, x: Tensor, __: Tensor | None = None, is_training: Tensor | None = None) -> Tensor:
    if is_training is not None and bool(is_training):
        raise ValueError("Dropout is not run in training mode")
    return x


def _gelu(attributes: Attributes, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=attributes.get("approximate", "none"))


def _hard_sigmoid(attributes: Attributes, x: Tensor) -> Tensor:
    return (attributes.get("alpha", 0.2) * x + attributes.get("beta", 0.5)).clamp(0, 1)


def _cast(attributes: Attributes, x: Tensor) -> Tensor:
    kind = attributes["to"]
    if kind in _FLOATS:
        return x if x.is_floating_point() else x.to(attributes["float"] if is_on_device(x) else torch.float32)
    return x.to(_INTEGERS[kind])


def _softmax(attributes: Attributes, x: Tensor) -> Tensor:
    if attributes["opset"] >= 13:
        return x.softmax(attributes.get("axis", -1))
    axis = attributes.get("axis", 1) % x.dim()
    return x.flatten(axis).softmax(-1).reshape(x.shape)


# ---------------------------------------------------------------- shapes


def _shape(attributes: Attributes, x: Tensor) -> Tensor:
    return torch.tensor(list(x.shape)[attributes.get("start", 0) : attributes.get("end")], dtype=torch.int64)


def _reshape(attributes: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sizes = shape.tolist()
    if not attributes.get("allowzero", 0):
        sizes = [x.shape[at] if size == 0 else size for at, size in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(attributes: Attributes, x: Tensor) -> Tensor:
    axis = attributes.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _transpose(attributes: Attributes, x: Tensor) -> Tensor:
    return x.permute(attributes.get("perm", list(range(x.dim()))[::-1]))


def _axes(attributes: Attributes, given: Tensor | None) -> list[int] | None:
    """An operator's axes, which older opsets have as an attribute."""
    axes: list[int] | None = attributes.get("axes") if given is None else given.tolist()
    return axes


def _squeeze(attributes: Attributes, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = _axes(attributes, given)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _unsqueeze(attributes: Attributes, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = _axes(attributes, given) or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _concat(attributes: Attributes, *parts: Tensor) -> Tensor:
    return torch.cat(parts, attributes["axis"])


def _split(attributes: Attributes, x: Tensor, given: Tensor | None = None) -> Sequence[Tensor]:
    axis = attributes.get("axis", 0)
    sizes = attributes.get("split") if given is None else given.tolist()
    if sizes is None:
        sizes = -(-x.shape[axis] // attributes["num_outputs"])
    parts: Sequence[Tensor] = x.split(sizes, axis)
    return parts


def _slice(
    attributes: Attributes,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first: list[int] = attributes["starts"] if starts is None else starts.tolist()
    last: list[int] = attributes["ends"] if ends is None else ends.tolist()
    along = _axes(attributes, axes) or list(range(len(first)))
    strides = [1] * len(first) if steps is None else steps.tolist()
    for axis, start, end, step in zip(along, first, last, strides, strict=True):
        if step > 0:
            places = [slice(None)] * x.dim()
            places[axis] = slice(start, end, step)
            x = x[tuple(places)]
        else:
            # As for Python, but that "before the first" is written as a number far below 0.
            length = x.shape[axis]
            chosen = range(length)[slice(start, None if end < -length else end, step)]
            flipped = (
                x.narrow(axis, chosen[-1], chosen[0] - chosen[-1] + 1).flip(axis) if chosen else x.narrow(axis, 0, 0)
            )
            places = [slice(None)] * x.dim()
            places[axis] = slice(None, None, -step)
            x = flipped[tuple(places)]
    return x


def _gather(attributes: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    axis = attributes.get("axis", 0) % x.dim()
    if indices.dim() == 0 and not is_on_device(indices):
        return x.select(axis, int(indices))
    flat = torch.where(indices < 0, indices + x.shape[axis], indices).reshape(-1)
    chosen = x.index_select(axis, flat)
    return chosen.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _bounded(sizes: Sequence[float]) -> list[int]:
    """Refuse what a few bytes of a file would make of a memory."""
    if math.prod(sizes) > _MOST_ELEMENTS:
        raise ValueError(f"a tensor of {sizes} elements is not made")
    return [int(size) for size in sizes]


def _expand(_: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(_bounded(torch.broadcast_shapes(x.shape, shape.tolist())))


def _tile(_: Attributes, x: Tensor, repeats: Tensor) -> Tensor:
    _bounded([x.numel(), *repeats.tolist()])
    return x.repeat(repeats.tolist())


def _constant_of_shape(attributes: Attributes, shape: Tensor) -> Tensor:
    value, sizes = attributes.get("value"), _bounded(shape.tolist())
    return torch.zeros(sizes) if value is None else value.reshape(()).expand(sizes).clone()


def _range(_: Attributes, start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    _bounded([abs(limit.item() - start.item()) / abs(step.item())])
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


def _pad(
    attributes: Attributes,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    lengths: list[int] = attributes["pads"] if pads is None else pads.tolist()
    along = list(range(x.dim())) if axes is None else axes.tolist()
    both = [0] * (2 * x.dim())
    for axis, begin, end in zip(along, lengths[: len(along)], lengths[len(along) :], strict=True):
        both[2 * (axis % x.dim())], both[2 * (axis % x.dim()) + 1] = begin, end
    # torch counts from the last axis.
    reversed_pads = [both[2 * axis + side] for axis in reversed(range(x.dim())) for side in (0, 1)]
    mode = {"edge": "replicate", "reflect": "reflect", "constant": "constant"}[attributes.get("mode", "constant")]
    if mode == "constant":
        filling = attributes.get("value", 0.0) if value is None else float(value)
        return functional.pad(x, reversed_pads, value=filling)
    while reversed_pads[-2:] == [0, 0] and len(reversed_pads) > 2 * (x.dim() - 2):
        del reversed_pads[-2:]
    return functional.pad(x, reversed_pads, mode=mode)


def _depth_to_space(attributes: Attributes, x: Tensor) -> Tensor:
    block, (count, channels, rows, columns) = attributes["blocksize"], x.shape
    if attributes.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, block)
    blocks = x.reshape(count, block, block, channels // block**2, rows, columns).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(count, channels // block**2, rows * block, columns * block)


def _space_to_depth(attributes: Attributes, x: Tensor) -> Tensor:
    if attributes.get("mode", "DCR") != "DCR":
        raise ValueError("SpaceToDepth is run in mode DCR only")
    block, (count, channels, rows, columns) = attributes["blocksize"], x.shape
    blocks = x.reshape(count, channels, rows // block, block, columns // block, block).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(count, channels * block**2, rows // block, columns // block)


# ---------------------------------------------------------------- reductions


def _reduction(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def reduce(attributes: Attributes, x: Tensor, given: Tensor | None = None) -> Tensor:
        axes = _axes(attributes, given)
        if not axes:
            if attributes.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.dim()))
        return function(x, axes, bool(attributes.get("keepdims", 1)))

    return reduce


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.mean(axes, keepdim=keep)


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keepdim=keep, dtype=x.dtype)


def _norm(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.linalg.vector_norm(x, dim=axes, keepdim=keep)


def _arg(function: Callable[..., Tensor]) -> Operator:
    def find(attributes: Attributes, x: Tensor) -> Tensor:
        if attributes.get("select_last_index", 0):
            raise ValueError("of equal values the first is found only")
        return function(x, attributes.get("axis", 0), keepdim=bool(attributes.get("keepdims", 1)))

    return find


# ---------------------------------------------------------------- filters


def _sides(attributes: Attributes, x: Tensor, kernel: Sequence[int]) -> tuple[list[int], list[int]]:
    """How many pixels are added before and after each of the picture's sides."""
    rank = len(kernel)
    auto = attributes.get("auto_pad", "NOTSET")
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        pads = attributes.get("pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
        return pads[:rank], pads[rank:]
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    totals = [
        max((-(-side // stride) - 1) * stride + (length - 1) * dilation + 1 - side, 0)
        for side, stride, length, dilation in zip(x.shape[2:], strides, kernel, dilations, strict=True)
    ]
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def _padded(x: Tensor, begin: Sequence[int], end: Sequence[int], value: float = 0.0) -> Tensor:
    pads = [pad for pair in zip(reversed(begin), reversed(end), strict=True) for pad in pair]
    return functional.pad(x, pads, value=value) if any(pads) else x


_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}


def _convolution(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = weight.dim() - 2
    begin, end = _sides(attributes, x, weight.shape[2:])
    if begin != end:
        x, begin = _padded(x, begin, end), [0] * rank
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    return _CONVOLUTIONS[rank](x, weight, bias, strides, begin, dilations, attributes.get("group", 1))


def _transposed_convolution(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = weight.dim() - 2
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in attributes:
        raise ValueError("ConvTranspose is run with explicit pads only")
    pads = attributes.get("pads", [0] * 2 * rank)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    more, group = attributes.get("output_padding", [0] * rank), attributes.get("group", 1)
    if pads[:rank] == pads[rank:]:
        return _TRANSPOSED[rank](x, weight, bias, strides, pads[:rank], more, group, dilations)
    made = _TRANSPOSED[rank](x, weight, bias, strides, [0] * rank, more, group, dilations)
    for axis, (begin, end) in enumerate(zip(pads[:rank], pads[rank:], strict=True), 2):
        made = made.narrow(axis, begin, made.shape[axis] - begin - end)
    return made


def _max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    kernel = attributes["kernel_shape"]
    rank = len(kernel)
    x = _padded(x, *_sides(attributes, x, kernel), value=-math.inf)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    rounds_up = bool(attributes.get("ceil_mode", 0))
    return _MAX_POOLS[rank](x, kernel, strides, 0, dilations, ceil_mode=rounds_up)


def _average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    kernel = attributes["kernel_shape"]
    if len(kernel) != 2 or any(length != 1 for length in attributes.get("dilations", [])):
        raise ValueError("AveragePool is run on planes, without dilations, only")
    begin, end = _sides(attributes, x, kernel)
    counts_pads, rounds_up = bool(attributes.get("count_include_pad", 0)), bool(attributes.get("ceil_mode", 0))
    strides = attributes.get("strides", [1, 1])
    if begin == end and all(2 * pad <= length for pad, length in zip(begin, kernel, strict=True)):
        return functional.avg_pool2d(x, kernel, strides, begin, rounds_up, counts_pads)
    if rounds_up:
        raise ValueError("AveragePool with ceil_mode is run with equal pads only")
    mean = functional.avg_pool2d(_padded(x, begin, end), kernel, strides)
    if counts_pads:
        return mean
    share = functional.avg_pool2d(_padded(torch.ones_like(x[:1, :1]), begin, end), kernel, strides)
    return mean / share


def _global_average(_: Attributes, x: Tensor) -> Tensor:
    return x.mean(list(range(2, x.dim())), keepdim=True)


def _global_max(_: Attributes, x: Tensor) -> Tensor:
    return x.amax(list(range(2, x.dim())), keepdim=True)


def _batch_norm(
    attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return functional.batch_norm(x, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _instance_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=attributes.get("epsilon", 1e-5))


def _group_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = attributes["num_groups"]
    if attributes["opset"] < 21:  # one factor for each group
        scale, bias = (part.repeat_interleave(x.shape[1] // groups) for part in (scale, bias))
    return functional.group_norm(x, groups, scale, bias, attributes.get("epsilon", 1e-5))


def _layer_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    sides = list(x.shape[attributes.get("axis", -1) % x.dim() :])
    bias = None if bias is None else bias.expand(sides)
    return functional.layer_norm(x, sides, scale.expand(sides), bias, attributes.get("epsilon", 1e-5))


def _gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a, b = (a.T if attributes.get("transA", 0) else a), (b.T if attributes.get("transB", 0) else b)
    product = a @ b
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    product = product if alpha == 1.0 else alpha * product
    return product if c is None else product + (c if beta == 1.0 else beta * c)


def _einsum(attributes: Attributes, *operands: Tensor) -> Tensor:
    return torch.einsum(attributes["equation"], *operands)


def _resize(
    attributes: Attributes,
    x: Tensor,
    _: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """Resize [n, c, h, w] in the ways that torch has: nearest (floor), and linear or cubic from pixels' centres."""
    if sizes is not None and sizes.numel():
        wanted = sizes.tolist()
    else:
        wanted = [side * scale for side, scale in zip(x.shape, [] if scales is None else scales.tolist(), strict=True)]
        if any(abs(side - round(side)) > _PART_OF_A_PIXEL for side in wanted):
            raise ValueError("Resize is run with factors that make whole pixels only")
        wanted = [round(side) for side in wanted]
    if len(wanted) != 4 or wanted[:2] != list(x.shape[:2]) or attributes.get("axes") not in (None, [0, 1, 2, 3]):
        raise ValueError("Resize is run on the last two of four axes only")
    mode, place = attributes.get("mode", "nearest"), attributes.get("coordinate_transformation_mode", "half_pixel")
    size_hw = wanted[2:]
    if attributes.get("antialias", 0) or attributes.get("exclude_outside", 0):
        raise ValueError("Resize is run without antialias and exclude_outside only")
    if mode == "cubic" and attributes.get("cubic_coeff_a", -0.75) != -0.75:
        raise ValueError("Resize is run with cubic_coeff_a -0.75 only")
    if place == "pytorch_half_pixel" and 1 in size_hw:
        raise ValueError("Resize is not run to one pixel with coordinate_transformation_mode pytorch_half_pixel")
    if mode == "nearest":
        return _nearest(attributes, x, size_hw, place)
    if place == "asymmetric" and mode == "linear":
        return _linear_from_corners(x, size_hw)
    if place not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise ValueError(f"Resize is not run with coordinate_transformation_mode {place}")
    kind = {"linear": "bilinear", "cubic": "bicubic"}[mode]
    return functional.interpolate(x, size_hw, mode=kind, align_corners=place == "align_corners")


def _upsample(attributes: Attributes, x: Tensor, scales: Tensor | None = None) -> Tensor:
    """What Resize was before opset 10."""
    factors = torch.tensor(attributes["scales"]) if scales is None else scales
    places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return _resize({**attributes, **places}, x, None, factors)


def _nearest(attributes: Attributes, x: Tensor, size_hw: Sequence[int], place: str) -> Tensor:
    rounding = attributes.get("nearest_mode", "round_prefer_floor")
    if place == "asymmetric" and rounding == "floor":
        return functional.interpolate(x, size_hw, mode="nearest")
    for axis, length in zip((2, 3), size_hw, strict=True):
        x = x.index_select(axis, _nearest_places(x.shape[axis], length, place, rounding, x.device))
    return x


_PLACES: dict[tuple[object, ...], Tensor] = {}


def _nearest_places(side: int, length: int, place: str, rounding: str, device: torch.device) -> Tensor:
    """Which pixel each pixel of a resized side is; kept, as a graph under capture takes nothing from the host."""
    key = side, length, place, rounding, device
    if key not in _PLACES:
        at = torch.arange(length, dtype=torch.float64)
        scale = side / length
        if place == "align_corners":
            at = at * ((side - 1) / max(length - 1, 1))
        elif place == "asymmetric":
            at = at * scale
        elif place in ("half_pixel", "pytorch_half_pixel"):
            at = (at + 0.5) * scale - 0.5
        else:
            raise ValueError(f"Resize is not run with coordinate_transformation_mode {place}")
        rounded = {
            "floor": torch.floor,
            "ceil": torch.ceil,
            "round_prefer_floor": lambda value: torch.ceil(value - 0.5),
            "round_prefer_ceil": lambda value: torch.floor(value + 0.5),
        }[rounding](at)
        _PLACES[key] = rounded.clamp(0, side - 1).long().to(device)
    return _PLACES[key]


def _linear_from_corners(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Enlarge by linear interpolation with the first pixels of both on each other, which torch has not."""
    for axis, length in zip((2, 3), size_hw, strict=True):
        side = x.shape[axis]
        lower = _nearest_places(side, length, "asymmetric", "floor", x.device)
        upper = (lower + 1).clamp(max=side - 1)
        at = torch.arange(length, device=x.device, dtype=torch.float32) * (side / length) - lower
        shape = [1] * x.dim()
        shape[axis] = length
        along = at.to(x.dtype).reshape(shape)
        x = torch.lerp(x.index_select(axis, lower), x.index_select(axis, upper), along)
    return x


def _grid_sample(attributes: Attributes, x: Tensor, grid: Tensor) -> Tensor:
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(attributes.get("mode", "linear"), attributes.get("mode", ""))
    padding = attributes.get("padding_mode", "zeros")
    corners = bool(attributes.get("align_corners", 0))
    return functional.grid_sample(x, grid, mode=mode or "bilinear", padding_mode=padding, align_corners=corners)


OPERATORS: dict[str, Operator] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(torch.add),
    "And": _binary(torch.logical_and),
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Ceil": _unary(torch.ceil),
    "Clip": _clip,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Cos": _unary(torch.cos),
    "DepthToSpace": _depth_to_space,
    "Div": _divide,
    "Dropout": _dropout,
    "Einsum": _einsum,
    "Elu": lambda attributes, x: functional.elu(x, attributes.get("alpha", 1.0)),
    "Equal": _binary(torch.eq),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _unary(torch.floor),
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "GridSample": _grid_sample,
    "GroupNormalization": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(functional.hardswish),
    "Identity": lambda _, x: x,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda attributes, x: functional.leaky_relu(x, attributes.get("alpha", 0.01)),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Log": _unary(torch.log),
    "MatMul": _binary(torch.matmul),
    "Max": _folded(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _folded(torch.minimum),
    "Mish": _unary(functional.mish),
    "Mod": _modulo,
    "Mul": _binary(torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": _binary(torch.logical_or),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": lambda _, a, b: torch.pow(a, b).to(a.dtype),
    "Range": _range,
    "Reciprocal": _unary(torch.reciprocal),
    "ReduceL2": _reduction(_norm),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceSum": _reduction(_sum),
    "Relu": _unary(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Round": _unary(torch.round),
    "Shape": _shape,
    "Sigmoid": _unary(torch.sigmoid),
    "Sin": _unary(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": _unary(functional.softplus),
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(torch.sub),
    "Sum": _folded(torch.add),
    "Tanh": _unary(torch.tanh),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _upsample,
    "Where": lambda _, condition, a, b: torch.where(condition, a, b),
    "Xor": _binary(torch.logical_xor),
}
