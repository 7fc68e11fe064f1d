"""A network that a user brings, on ONNX Runtime: what its card says of it, in numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.frames import Picture
from segtriton_server.vision.errors import InvalidMaskError, NetworkFileError
from segtriton_server.vision.networks.card import ConstantSpec, NetworkCard, StateSpec
from segtriton_server.vision.networks.onnx_runtime import onnxruntime
from segtriton_server.vision.preprocess import network_rgb
from segtriton_server.vision.segmenter import ClassIds

_LOG = logging.getLogger(__name__)
_ERRORS_ONLY = 3

Tensor = NDArray[np.floating[Any]]
Mask = NDArray[np.uint8]


@dataclass(slots=True)
class SessionState:
    """What the network has kept of a session's frames so far: a tensor for each of the card's states."""

    tensors: tuple[Tensor, ...]


class OnnxSegmenter:
    """A network with a card; see `Segmenter` for what each member means.

    An input smaller than `input_hw` is a picture whose aspect is kept; its mask covers the picture all the same.
    """

    warnings: tuple[str, ...] = ()
    is_better_mirrored: bool = False

    def __init__(self, card: NetworkCard, num_threads: int, max_batch_size: int) -> None:
        """Load the network and try it, so that a file that does not do what its card says fails here.

        Raises:
            NetworkFileError: ONNX Runtime refuses the file, or its output is not what the card says.
            MemoryError: it wants more memory than there is.
        """
        self.name = card.name
        self.classes = card.labels
        self.default_class = card.default_class
        self.licence = card.licence
        self.input_hw = card.input.size_hw
        self.max_batch_size = max_batch_size
        self._card = card
        scale, offset = (np.asarray(factors, np.float32) for factors in (card.input.scale, card.input.offset))
        self._samples = (np.arange(256, dtype=np.float32)[:, None] * scale + offset)[None]
        self._run = _Run(card, num_threads)
        self._batch_sizes = self._sizes_that_agree([size for size in card.batch_sizes if size <= max_batch_size])

    def start(self) -> SessionState | None:
        """See `Segmenter`."""
        states = self._card.states
        return SessionState(tuple(map(_filled, states))) if states else None

    def preprocess(self, pictures: Picture, orientation: Orientation = UPRIGHT) -> Mask:
        """RGB uint8 [h, w, 3]: as much of the input as the picture takes."""
        return network_rgb(self._card.input, pictures, orientation)

    def segment(
        self,
        inputs: Sequence[Mask],
        classes: Sequence[ClassIds],
        orientations: Sequence[Orientation] = (),
        states: Sequence[SessionState | None] = (),
    ) -> list[Mask]:
        """Masks [h, w] in 0..255; bit-identical whichever inputs share the call."""
        self._check(inputs, classes)
        kept = [state or self.start() for state in states or [None] * len(inputs)]
        masks: dict[int, Mask] = {}
        # States advance when all is done: who calls again after an error begins where this call began.
        advanced: dict[int, SessionState] = {}
        for positions in self._runs(kept):
            before = [advanced.get(id(kept[at]), kept[at]) for at in positions]
            output, after = self._run([self._normal(inputs[at]) for at in positions], before)
            for at, picture, state in zip(positions, output, after, strict=True):
                masks[at] = self._mask(picture, classes[at], inputs[at].shape[:2])
                advanced[id(kept[at])] = state
        for owned in kept:
            if owned is not None:
                owned.tensors = advanced[id(owned)].tensors
        turned = zip(range(len(inputs)), orientations or [UPRIGHT] * len(inputs), strict=True)
        return [np.ascontiguousarray(orientation.to_stored(masks[at])) for at, orientation in turned]

    def close(self) -> None:
        """Drop the session; ONNX Runtime frees its memory with it."""
        self._run.close()

    # ---------------------------------------------------------------- who rides with whom

    def _runs(self, kept: Sequence[SessionState | None]) -> list[list[int]]:
        """Cut inputs into runs: each of a size that the card names, none with two inputs of one session."""
        rounds: list[list[int]] = []
        seen: dict[int, int] = {}
        for at, state in enumerate(kept):
            turn = seen.get(id(state), 0) if state is not None else 0
            seen[id(state)] = turn + 1
            if turn == len(rounds):
                rounds.append([])
            rounds[turn].append(at)
        return [run for positions in rounds for run in self._cut(positions)]

    def _cut(self, positions: list[int]) -> list[list[int]]:
        runs = []
        while positions:
            size = max(size for size in self._batch_sizes if size <= len(positions))
            runs.append(positions[:size])
            positions = positions[size:]
        return runs

    def _sizes_that_agree(self, sizes: Sequence[int]) -> list[int]:
        """Return those of the batch sizes whose results are, to the bit, those of pictures one by one."""
        random = np.random.default_rng(1)
        pictures = random.integers(0, 256, (max(sizes), *self.input_hw, 3), np.uint8)
        inputs = [self._normal(picture) for picture in pictures]
        alone = [self._run([network_input], [self.start()]) for network_input in inputs]
        for (output,), _ in alone[:1]:
            self._mask(output, frozenset({0}), self.input_hw)
        agreeing = [1]
        for size in sizes[1:]:
            outputs, states = self._run(inputs[:size], [self.start() for _ in range(size)])
            together = zip(outputs, states, alone, strict=False)
            if all(_is_same(output, state, *expected) for output, state, expected in together):
                agreeing.append(size)
            else:
                _LOG.warning(
                    "%s: batches of %d give other bits than single pictures, and are not used", self.name, size
                )
        return agreeing

    # ---------------------------------------------------------------- pictures to inputs, outputs to masks

    def _normal(self, network_input: Mask) -> Tensor:
        """The network's input [h, w, 3] of one picture, with zeros around what the picture does not take."""
        spec = self._card.input
        levels = network_input[..., ::-1] if spec.color_order == "bgr" else network_input
        normal = np.asarray(cv2.LUT(np.ascontiguousarray(levels), self._samples), np.float32)
        if normal.shape[:2] == spec.size_hw:
            return normal
        bordered = np.zeros((*spec.size_hw, 3), np.float32)
        rows, columns = spec.content_slices(normal.shape[:2])
        bordered[rows, columns] = normal
        return bordered

    def _mask(self, output: Tensor, wanted: ClassIds, content_hw: tuple[int, ...]) -> Mask:
        """The mask [h, w] of one picture's output [channels, h, w]."""
        probability = np.nan_to_num(self._probability(output, wanted), copy=False)
        mask = np.rint(np.clip(probability, 0, 1) * np.float32(255)).astype(np.uint8)
        mask = _resized(mask, self.input_hw)
        rows, columns = self._card.input.content_slices(content_hw)
        return _resized(mask[rows, columns], self.input_hw)

    def _probability(self, output: Tensor, wanted: ClassIds) -> Tensor:
        if self._card.output.kind == "alpha":
            return self._alpha(output[0], wanted)
        chosen = sorted(wanted)
        if self._card.output.kind == "probabilities":
            return np.asarray(output[chosen].sum(axis=0))
        with np.errstate(invalid="ignore"):  # a network may answer anything, which is no mask of anything
            powers = output - output.max(axis=0)
            np.exp(powers, out=powers)
            return np.asarray(powers[chosen].sum(axis=0) / powers.sum(axis=0))

    def _alpha(self, alpha: Tensor, wanted: ClassIds) -> Tensor:
        if len(wanted) != 1:
            return np.full_like(alpha, bool(wanted))
        is_background = self.classes[next(iter(wanted))] == self._card.background_class
        return np.float32(1) - alpha if is_background else alpha

    def _check(self, inputs: Sequence[Mask], classes: Sequence[ClassIds]) -> None:
        if len(inputs) != len(classes) or len(inputs) > self.max_batch_size:
            raise InvalidMaskError(
                f"need at most {self.max_batch_size} inputs with one set of class ids each, "
                f"got {len(inputs)} inputs and {len(classes)} sets"
            )
        height, width = self.input_hw
        for network_input in inputs:
            have = network_input.shape
            if (
                len(have) != 3
                or not (0 < have[0] <= height and 0 < have[1] <= width)
                or network_input.dtype != np.uint8
            ):
                raise InvalidMaskError(
                    f"network input must be uint8 of at most {(*self.input_hw, 3)}, got {network_input.dtype} {have}"
                )
        for wanted in classes:
            if not wanted <= set(range(len(self.classes))):
                raise InvalidMaskError(
                    f"class ids must be 0 to {len(self.classes) - 1} for network {self.name}, got {sorted(wanted)}"
                )


class _Run:
    """ONNX Runtime with one graph: inputs [h, w, 3] and states in, outputs [channels, h, w] and states out."""

    def __init__(self, card: NetworkCard, num_threads: int) -> None:
        self._card = card
        self._outputs = [card.output.tensor, *(state.output for state in card.states)]
        self._constants = {constant.tensor: _filled(constant) for constant in card.constants}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
        # The worker keeps freed blocks for the next run by itself; an arena would keep them a second time.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        content = card.read_file()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _judged(error, card, "cannot be loaded") from error

    def __call__(
        self, inputs: Sequence[Tensor], states: Sequence[SessionState | None]
    ) -> tuple[list[Tensor], list[SessionState]]:
        """Run the graph once; raises NetworkFileError or MemoryError where it fails or its output is another."""
        batch = np.stack(inputs).astype(self._card.input.data_type, copy=False)
        if self._card.input.layout == "NCHW":
            batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        feeds = {self._card.input.tensor: batch, **self._constants}
        for at, spec in enumerate(self._card.states):
            feeds[spec.input] = np.concatenate([state.tensors[at] for state in states if state is not None])
        try:
            output, *kept = self._session.run(self._outputs, feeds)
        except Exception as error:
            raise _judged(error, self._card, "fails") from error
        return self._checked(output, len(inputs)), self._parted(kept, len(inputs))

    def close(self) -> None:
        """Drop the graph."""
        del self._session

    def _checked(self, output: Tensor, count: int) -> list[Tensor]:
        """Return the output of each input, float32 [channels, h, w]."""
        spec = self._card.output
        channels = 1 if spec.kind == "alpha" else len(self._card.labels)
        first, *_, last = output.shape[1:] or (0, 0)
        have = last if spec.layout == "NHWC" else first
        if output.ndim != 4 or len(output) != count or have != channels or not output.size:
            raise NetworkFileError(
                f"output.tensor: {spec.tensor} is {list(output.shape)}, and {spec.layout} with {channels} channels "
                f"for a batch of {count} is wanted"
            )
        pictures = output.astype(np.float32, copy=False)
        return [_channels_first(picture) for picture in pictures] if spec.layout == "NHWC" else list(pictures)

    def _parted(self, kept: Sequence[Tensor], count: int) -> list[SessionState]:
        """Cut the states that came out into those of each input; each owns its memory."""
        for spec, tensor in zip(self._card.states, kept, strict=True):
            if tensor.shape != (count, *spec.shape[1:]):
                raise NetworkFileError(
                    f"states: {spec.output} is {list(tensor.shape)}, and {[count, *spec.shape[1:]]} is wanted"
                )
        return [SessionState(tuple(tensor[at : at + 1].copy() for tensor in kept)) for at in range(count)]


def _channels_first(picture: Tensor) -> Tensor:
    """[h, w, channels] as [channels, h, w] in memory: NumPy takes eight times as long to copy it so."""
    height, width, channels = picture.shape
    return np.asarray(cv2.transpose(picture.reshape(-1, channels)), np.float32).reshape(channels, height, width)


def _filled(spec: StateSpec | ConstantSpec) -> Tensor:
    value = spec.start if isinstance(spec, StateSpec) else spec.value
    return np.full(spec.shape, value, np.dtype(spec.data_type))


def _resized(mask: Mask, size_hw: tuple[int, int]) -> Mask:
    if mask.shape == size_hw:
        return mask
    return np.asarray(cv2.resize(mask, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _is_same(
    output: Tensor, state: SessionState, expected_outputs: Sequence[Tensor], expected_states: Sequence[SessionState]
) -> bool:
    expected = [expected_outputs[0], *expected_states[0].tensors]
    return all(a.tobytes() == b.tobytes() for a, b in zip([output, *state.tensors], expected, strict=True))


def _judged(error: Exception, card: NetworkCard, what: str) -> Exception:
    """Return the error to raise for one of ONNX Runtime's, whose classes have no base of their own."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "alloc" in text:
        return MemoryError(f"{card.file.name} of {card.name} {what}: it wants more memory than there is")
    return NetworkFileError(f"{card.file.name} of {card.name} {what}: {text[:500]}")
