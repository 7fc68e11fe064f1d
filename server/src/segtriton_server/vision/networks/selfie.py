"""MediaPipe selfie segmentation on LiteRT: person against background, made for CPUs.

Source: Google, "MediaPipe Selfie Segmentation" model card, 2021 (Apache-2.0). A MobileNetV3-like network, RGB in
0..1 in, one sigmoid probability of "person" per pixel out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.frames import Picture
from segtriton_server.vision.errors import InvalidMaskError, NetworkFileError
from segtriton_server.vision.preprocess import small_rgb
from segtriton_server.vision.segmenter import ClassIds

BACKGROUND_ID, PERSON_ID = 0, 1

_TO_UNIT_RANGE = np.float32(1 / 255)

# Measured: 4 inputs at once cost 10 % (one thread) to 35 % (two threads) less each than one by one; 8 gain nothing
# more and double the memory. A call of any size is served by one interpreter for 4 and one for 1.
_LARGE_BATCH = 4


@dataclass(frozen=True, slots=True)
class SelfieVariant:
    """One of the two shapes the network is published in."""

    name: str
    file_name: str
    input_hw: tuple[int, int]


LANDSCAPE = SelfieVariant("selfie", "selfie_segmentation_landscape.tflite", (144, 256))
SQUARE = SelfieVariant("selfie_square", "selfie_segmentation.tflite", (256, 256))


class SelfieSegmenter:
    """The selfie network; see `Segmenter` for what each member means."""

    classes: tuple[str, ...] = ("background", "person")
    default_class: str = "person"
    licence: str = "Apache-2.0"
    warnings: tuple[str, ...] = ()
    is_better_mirrored: bool = True

    def __init__(self, variant: SelfieVariant, networks_folder: Path, num_threads: int, max_batch_size: int) -> None:
        """Load the network and run it once, so that a wrong file fails here and not in a session."""
        if num_threads < 1 or max_batch_size < 1:
            raise ValueError(
                f"num_threads and max_batch_size must be at least 1, got {num_threads} and {max_batch_size}"
            )
        self.name = variant.name
        self.input_hw = variant.input_hw
        self.max_batch_size = max_batch_size
        self._num_threads = num_threads
        self._model = _read_model(networks_folder / variant.file_name)
        self._runs = {1: self._make_run(1)}

    def start(self) -> None:
        """Nothing: each picture is judged by itself."""

    def preprocess(self, pictures: Picture, orientation: Orientation = UPRIGHT) -> NDArray[np.uint8]:
        """RGB uint8 [h, w, 3], whatever the picture's size, colour and orientation."""
        return small_rgb(pictures, self.input_hw, orientation)

    def segment(
        self,
        inputs: Sequence[NDArray[np.uint8]],
        classes: Sequence[ClassIds],
        orientations: Sequence[Orientation] = (),
        states: Sequence[None] = (),
    ) -> list[NDArray[np.uint8]]:
        """Masks [h, w] in 0..255; bit-identical whichever inputs share the call."""
        self._check(inputs, classes)
        masks: list[NDArray[np.uint8]] = []
        first = 0
        while first < len(inputs):
            run = self._run_for(len(inputs) - first)
            masks += run.person_masks(inputs[first : first + run.batch_size])
            first += run.batch_size
        for mask, wanted in zip(masks, classes, strict=True):
            if len(wanted) != 1:
                mask.fill(255 if wanted else 0)
            elif BACKGROUND_ID in wanted:
                np.subtract(255, mask, out=mask)
        turned = zip(masks, orientations or [UPRIGHT] * len(masks), strict=True)
        return [np.ascontiguousarray(orientation.to_stored(mask)) for mask, orientation in turned]

    def close(self) -> None:
        """Drop the interpreters; LiteRT frees their memory with them."""
        self._runs.clear()

    def _run_for(self, num_inputs: int) -> "_FixedBatchRun":
        large = min(_LARGE_BATCH, self.max_batch_size)
        batch_size = large if num_inputs >= large else 1
        # The large one is made when it is first needed: a server that never had so much to do needs no memory for it.
        if batch_size not in self._runs:
            self._runs[batch_size] = self._make_run(batch_size)
        return self._runs[batch_size]

    def _make_run(self, batch_size: int) -> "_FixedBatchRun":
        return _FixedBatchRun(self._model, batch_size, self.input_hw, self._num_threads)

    def _check(self, inputs: Sequence[NDArray[np.uint8]], classes: Sequence[ClassIds]) -> None:
        if not self._runs:
            raise RuntimeError(f"network {self.name} is closed")
        if len(inputs) != len(classes) or len(inputs) > self.max_batch_size:
            raise InvalidMaskError(
                f"need at most {self.max_batch_size} inputs with one set of class ids each, "
                f"got {len(inputs)} inputs and {len(classes)} sets"
            )
        for network_input in inputs:
            if network_input.shape != (*self.input_hw, 3) or network_input.dtype != np.uint8:
                raise InvalidMaskError(
                    f"network input must be uint8 {(*self.input_hw, 3)}, "
                    f"got {network_input.dtype} {network_input.shape}"
                )
        for wanted in classes:
            if not wanted <= {BACKGROUND_ID, PERSON_ID}:
                raise InvalidMaskError(f"class ids must be 0 or 1 for network {self.name}, got {sorted(wanted)}")


class _FixedBatchRun:
    """One interpreter with its arena laid out for exactly `batch_size` inputs.

    Resizing one interpreter from call to call would lay the arena out anew each time, which costs more than a run.
    """

    def __init__(self, model: bytes, batch_size: int, input_hw: tuple[int, int], num_threads: int) -> None:
        self.batch_size = batch_size
        self._scaled = np.empty(input_hw, np.float32)
        shape = (batch_size, *input_hw, 3)
        try:
            self._interpreter = Interpreter(model_content=model, num_threads=num_threads)
            (input_detail,) = self._interpreter.get_input_details()
            (output_detail,) = self._interpreter.get_output_details()
            if tuple(input_detail["shape"][1:]) != shape[1:] or tuple(output_detail["shape"][1:]) != (*input_hw, 1):
                raise ValueError(f"it takes {input_detail['shape'][1:]}, not {shape[1:]}")
            self._input_index = input_detail["index"]
            self._output_index = output_detail["index"]
            self._interpreter.resize_tensor_input(self._input_index, list(shape))
            self._interpreter.allocate_tensors()
            self._interpreter.invoke()  # the first run prepares the network's weights: better now than in a session
        except (RuntimeError, ValueError) as error:
            raise NetworkFileError(f"the network file is not the {input_hw} selfie network: {error}") from error

    def person_masks(self, inputs: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Masks [h, w] of class person; each owns its memory."""
        # Views of LiteRT's own memory, which spare copies; it refuses to run while one is held.
        rows: NDArray[np.float32] = self._interpreter.tensor(self._input_index)()
        for row, network_input in zip(rows, inputs, strict=True):
            np.multiply(network_input, _TO_UNIT_RANGE, out=row, dtype=np.float32)
        del rows, row
        self._interpreter.invoke()
        probabilities: NDArray[np.float32] = self._interpreter.tensor(self._output_index)()
        return [self._to_mask(probability) for probability in probabilities[..., 0]]

    def _to_mask(self, probability: NDArray[np.float32]) -> NDArray[np.uint8]:
        np.multiply(probability, np.float32(255.0), out=self._scaled)
        np.add(self._scaled, np.float32(0.5), out=self._scaled)  # round half up, as truncation follows
        return self._scaled.astype(np.uint8)


def _read_model(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        # The name of the file only: where it lies is not a client's business.
        raise NetworkFileError(f"network file {path.name} cannot be read: {error.strerror}") from error
