"""A network with a card as a torch module: from pictures to masks, and from each state to the next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtriton_server.vision.errors import BackendError, NetworkFileError
from segtriton_server.vision.gpu.onnx_module import OnnxModule
from segtriton_server.vision.gpu.runner import to_masks
from segtriton_server.vision.networks.card import NetworkCard

_LOG = logging.getLogger(__name__)
# What half precision may change of a mask, of 255 levels: on average, and by how much but for one pixel in a thousand.
_MOST_MEAN_CHANGE, _MOST_CHANGE = 0.5, 8.0
_SHARE_OF_OTHERS = 1e-3
_SAMPLE_FRAMES = 4


class CardMasks(nn.Module):
    """A graph with what its card says of its input and output."""

    def __init__(self, card: NetworkCard, content: bytes) -> None:
        """Read the graph.

        Args:
            card: what the file cannot say.
            content: the ONNX file.

        Raises:
            NetworkFileError: it is no ONNX file, or lacks a tensor that the card names.
            BackendError: a GPU does not run it.
        """
        super().__init__()
        self._card = card
        constants = {one.tensor: torch.full(one.shape, one.value) for one in card.constants}
        self._graph = OnnxModule(content, [card.output.tensor, *(state.output for state in card.states)], constants)
        fed = {card.input.tensor, *(state.input for state in card.states)}
        if lacking := set(self._graph.input_names) - fed:
            raise NetworkFileError(f"the card of {card.name} does not say what goes into {', '.join(sorted(lacking))}")
        background = [label == card.background_class for label in card.labels]
        # Alpha is the probability of what is not the background: p = offset + sign * alpha.
        self.register_buffer("_alpha_offset", torch.tensor(background, dtype=torch.float32)[:, None, None])
        self.register_buffer("_alpha_sign", 1 - 2 * self._alpha_offset)

    def forward(self, inputs: Tensor, weights: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Make masks and the next states.

        Args:
            inputs: normalised pictures [n, 3, h, w], RGB.
            weights: of the labels, 0 or 1 [n, labels].
            states: as the card names them, [n, ...].

        Returns:
            Masks uint8 [n, h, w], then the states.
        """
        spec = self._card.input
        feeds = {state.input: value for state, value in zip(self._card.states, states, strict=True)}
        colors = inputs.flip(1) if spec.color_order == "bgr" else inputs
        feeds[spec.tensor] = colors if spec.layout == "NCHW" else colors.permute(0, 2, 3, 1)
        output, *kept = self._graph(*(feeds[name] for name in self._graph.input_names))
        probabilities = self._probabilities(
            output if self._card.output.layout == "NCHW" else output.permute(0, 3, 1, 2)
        )
        if probabilities.shape[2:] != inputs.shape[2:]:
            probabilities = functional.interpolate(probabilities, inputs.shape[2:], mode="bilinear")
        return to_masks(probabilities, weights), *kept

    def _probabilities(self, output: Tensor) -> Tensor:
        """The probability of each label [n, labels, h, w], of whatever kind the output is."""
        # A network may answer anything: what is no number is nothing's probability.
        kind = self._card.output.kind
        num_channels = 1 if kind == "alpha" else len(self._card.labels)
        if output.dim() != 4 or output.shape[1] != num_channels:
            raise NetworkFileError(
                f"output {self._card.output.tensor} is {list(output.shape)}, not of {num_channels} channels"
            )
        if kind == "scores":
            return output.softmax(dim=1).nan_to_num()
        values = output.nan_to_num().clamp(0, 1)
        return values if kind == "probabilities" else self._alpha_offset + self._alpha_sign * values


def choose_precision(masks: CardMasks, card: NetworkCard) -> torch.dtype:
    """Return half where it makes as good as the same masks as float32 of a moving sample, else float32.

    Raises:
        BackendError: a GPU does not run the network.
        NetworkFileError: its output is not what the card says.
    """
    exact = _sample_masks(masks, card, torch.float32)
    change = (exact - _sample_masks(deepcopy(masks), card, torch.half)).abs()
    others = float((change > _MOST_CHANGE).float().mean())
    is_safe = float(change.mean()) <= _MOST_MEAN_CHANGE and others <= _SHARE_OF_OTHERS
    if not is_safe:
        _LOG.warning("%s runs in float32: in half precision its masks would be others", card.name)
    return torch.half if is_safe else torch.float32


def _sample_masks(masks: CardMasks, card: NetworkCard, dtype: torch.dtype) -> Tensor:
    """Masks of one label after another, float32 [frames, labels, h, w], of soft blobs that drift."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    masks.to(device=device, dtype=dtype)
    random = torch.Generator().manual_seed(1)
    in_rgb = slice(None, None, -1 if card.input.color_order == "bgr" else 1)
    normal = card.input.scale[in_rgb], card.input.offset[in_rgb]
    scale, offset = (torch.tensor(values)[None, :, None, None] for values in normal)
    states: Sequence[Tensor] = [
        torch.full(state.shape, state.start, dtype=dtype, device=device) for state in card.states
    ]
    made = []
    try:
        with torch.inference_mode():
            for _ in range(_SAMPLE_FRAMES):
                levels = functional.interpolate(
                    torch.rand(1, 3, 9, 16, generator=random), card.input.size_hw, mode="bicubic"
                )
                inputs = ((levels * 255).clamp(0, 255) * scale + offset).to(device=device, dtype=dtype)
                for label in range(len(card.labels)):
                    weights = torch.zeros((1, len(card.labels)), dtype=dtype, device=device)
                    weights[0, label] = 1
                    found, *after = masks(inputs, weights, *states)
                    made.append(found.float())
                states = after
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise BackendError(f"The network {card.name} does not run on a GPU: {error}") from error
    return torch.cat(made)
