import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.frames import Picture
from segtriton_server.vision.errors import InvalidMaskError, NetworkFileError, UnknownNetworkError
from segtriton_server.vision.networks import create_segmenter, known_networks, selfie
from segtriton_server.vision.segmenter import ClassIds, Segmenter

CLIP = Path(__file__).parents[4] / ".assets/clips/carphone_pristine.mp4"
BACKGROUND, PERSON = frozenset({0}), frozenset({1})
ORIENTATIONS = [Orientation(*flags) for flags in product((False, True), repeat=3)]


@pytest.fixture
def segmenter(networks_folder: Path) -> Iterator[Segmenter]:
    segmenter = create_segmenter("selfie", networks_folder, num_threads=1, max_batch_size=8)
    yield segmenter
    segmenter.close()


def random_inputs(count: int, size_hw: tuple[int, int] = (144, 256)) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(5)
    coarse = random.integers(0, 256, (count, 9, 16, 3), np.uint8)
    return [np.kron(item, np.ones((size_hw[0] // 9, size_hw[1] // 16, 1), np.uint8)) for item in coarse]


def test_says_what_it_is(segmenter: Segmenter) -> None:
    assert segmenter.name == "selfie"
    assert segmenter.classes == ("background", "person")
    assert segmenter.default_class == "person"
    assert segmenter.input_hw == (144, 256)
    assert segmenter.max_batch_size == 8


@pytest.mark.parametrize("name", ["selfie", "selfie_square"])
def test_masks_are_what_the_bare_network_says(networks_folder: Path, name: str) -> None:
    segmenter = create_segmenter(name, networks_folder, 1, 4)
    file_name = {"selfie": "selfie_segmentation_landscape", "selfie_square": "selfie_segmentation"}[name]
    interpreter = Interpreter(str(networks_folder / f"{file_name}.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    (network_input,) = random_inputs(1, (144, 256))
    network_input = np.resize(network_input, (*segmenter.input_hw, 3))
    in_unit_range = np.multiply(network_input[None], np.float32(1 / 255), dtype=np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], in_unit_range)
    interpreter.invoke()
    probability = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, :, :, 0]
    (mask,) = segmenter.segment([network_input], [PERSON])
    assert mask.shape == segmenter.input_hw
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.floor(probability * 255 + 0.5).astype(np.uint8))


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("max_batch_size", [1, 3, 4, 8])
def test_a_mask_does_not_depend_on_its_company(
    networks_folder: Path, segmenter: Segmenter, num_threads: int, max_batch_size: int
) -> None:
    inputs = random_inputs(max_batch_size)
    alone = [segmenter.segment([item], [PERSON])[0] for item in inputs]
    together = create_segmenter("selfie", networks_folder, num_threads, max_batch_size)
    for count in range(1, max_batch_size + 1):
        for mask, expected in zip(together.segment(inputs[:count], [PERSON] * count), alone, strict=False):
            np.testing.assert_array_equal(mask, expected)


def test_each_item_has_its_own_class(segmenter: Segmenter) -> None:
    first, second = random_inputs(2)
    masks = segmenter.segment([first, first, second, second, first], [PERSON, BACKGROUND, PERSON, BACKGROUND, PERSON])
    np.testing.assert_array_equal(masks[1], 255 - masks[0])
    np.testing.assert_array_equal(masks[3], 255 - masks[2])
    np.testing.assert_array_equal(masks[4], masks[0])
    assert not np.array_equal(masks[0], masks[2])


def test_all_classes_are_everywhere_and_none_is_nowhere(segmenter: Segmenter) -> None:
    inputs = random_inputs(3)
    everything, nothing, person = segmenter.segment(inputs, [BACKGROUND | PERSON, frozenset(), PERSON])
    assert everything.min() == 255
    assert nothing.max() == 0
    np.testing.assert_array_equal(person, segmenter.segment(inputs[2:], [PERSON])[0])


def test_masks_stay_when_more_are_made(segmenter: Segmenter) -> None:
    first, second = random_inputs(2)
    (mask,) = segmenter.segment([first], [PERSON])
    before = mask.copy()
    segmenter.segment([second], [PERSON])
    np.testing.assert_array_equal(mask, before)


def test_nothing_in_nothing_out(segmenter: Segmenter) -> None:
    assert segmenter.segment([], []) == []


def test_preprocess_fits_segment(segmenter: Segmenter, make_picture: Callable[..., Picture]) -> None:
    for is_rgb in (False, True):
        picture = make_picture((241, 319), is_rgb=is_rgb, line_padding=5)
        assert len(segmenter.segment([segmenter.preprocess(picture)], [PERSON])) == 1


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_a_turned_picture_is_seen_upright(segmenter: Segmenter, orientation: Orientation) -> None:
    with av.open(str(CLIP)) as container:
        upright = Picture((next(container.decode(video=0)).to_ndarray(format="rgb24"),))
    stored = Picture((np.ascontiguousarray(orientation.to_stored(upright.planes[0])),))
    seen = [segmenter.preprocess(upright), segmenter.preprocess(stored, orientation)]
    # OpenCV shrinks rows before columns, and rounds between: a level of 255 is its error.
    assert np.abs(seen[1].astype(int) - seen[0]).max() <= 2

    expected, mask = segmenter.segment(seen, [PERSON, PERSON], [UPRIGHT, orientation])
    assert mask.flags.c_contiguous
    assert mask.shape == orientation.stored_hw(segmenter.input_hw)
    assert np.abs(orientation.to_shown(mask).astype(int) - expected).mean() < 1
    assert expected.std() > 50


@pytest.mark.parametrize(
    ("inputs", "classes", "message"),
    [
        (random_inputs(1), [], "one set of class ids each"),
        (random_inputs(9), [PERSON] * 9, "at most 8"),
        (random_inputs(1), [frozenset({1, 2})], "class ids"),
        (random_inputs(1), [frozenset({-1})], "class ids"),
        ([np.zeros((256, 144, 3), np.uint8)], [PERSON], r"\(144, 256, 3\)"),
        ([np.zeros((144, 256, 3), np.float32)], [PERSON], "uint8"),
    ],
)
def test_wrong_calls_are_refused(
    segmenter: Segmenter, inputs: list[NDArray[np.uint8]], classes: list[ClassIds], message: str
) -> None:
    with pytest.raises(InvalidMaskError, match=message):
        segmenter.segment(inputs, classes)


def test_closed_means_closed(segmenter: Segmenter) -> None:
    segmenter.close()
    segmenter.close()
    with pytest.raises(RuntimeError, match="closed"):
        segmenter.segment(random_inputs(1), [PERSON])


def test_unknown_network_names_the_known_ones(networks_folder: Path) -> None:
    assert known_networks(networks_folder) == ("selfie", "selfie_square")
    with pytest.raises(UnknownNetworkError, match="'unet'; known: selfie, selfie_square"):
        create_segmenter("unet", networks_folder, 1, 1)


def test_missing_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileError, match=r"selfie_segmentation_landscape\.tflite") as caught:
        create_segmenter("selfie", tmp_path, 1, 1)
    assert str(tmp_path) not in str(caught.value)


def test_another_file_is_refused(tmp_path: Path, networks_folder: Path) -> None:
    (tmp_path / "selfie_segmentation_landscape.tflite").write_bytes(b"not a network")
    with pytest.raises(NetworkFileError):
        create_segmenter("selfie", tmp_path, 1, 1)
    (tmp_path / "selfie_segmentation_landscape.tflite").write_bytes(b"")
    with pytest.raises(NetworkFileError):
        create_segmenter("selfie", tmp_path, 1, 1)


def test_the_other_variant_is_refused(tmp_path: Path, networks_folder: Path) -> None:
    shutil.copy(networks_folder / "selfie_segmentation.tflite", tmp_path / "selfie_segmentation_landscape.tflite")
    with pytest.raises(NetworkFileError, match="256"):
        create_segmenter("selfie", tmp_path, 1, 1)


@pytest.mark.parametrize(("num_threads", "max_batch_size"), [(0, 1), (1, 0)])
def test_counts_are_at_least_1(networks_folder: Path, num_threads: int, max_batch_size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        create_segmenter("selfie", networks_folder, num_threads, max_batch_size)


def test_the_large_interpreter_is_made_when_four_come(networks_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Interpreter] = []

    def make(**arguments: object) -> Interpreter:
        made.append(Interpreter(**arguments))
        return made[-1]

    monkeypatch.setattr(selfie, "Interpreter", make)
    segmenter = create_segmenter("selfie", networks_folder, 1, 4)

    counts = []
    for num_inputs in (3, 4, 4):
        segmenter.segment(random_inputs(num_inputs), [PERSON] * num_inputs)
        counts.append(len(made))
    assert counts == [1, 2, 2]
