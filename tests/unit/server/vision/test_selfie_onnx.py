"""The selfie networks as ONNX say what they say on LiteRT, on pictures of real clips."""

import re
from itertools import islice
from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from segtriton_server.vision.errors import NetworkFileError
from segtriton_server.vision.networks.selfie_onnx import INPUT, OUTPUT, SELFIE_FILES, convert, main

CLIPS = Path(__file__).parents[4] / ".assets/clips"
# LiteRT's order of additions is another one; a level of a mask is 3.9e-3.
MOST_DIFFERENCE = 3e-4


def real_pictures(size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """RGB in 0..1, float32 [n, h, w, 3], some of each clip."""
    pictures = []
    for clip in ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4"):
        with av.open(str(CLIPS / clip)) as container:
            for frame in islice(container.decode(video=0), 0, 80, 20):
                small = frame.reformat(size_hw[1], size_hw[0], "rgb24")
                pictures.append(small.to_ndarray().astype(np.float32) / np.float32(255))
    return np.stack(pictures)


def on_litert(file: Path, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    interpreter = Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    masks = []
    for picture in pictures:
        interpreter.set_tensor(given["index"], picture[None])
        interpreter.invoke()
        masks.append(interpreter.get_tensor(made["index"])[0, :, :, 0])
    return np.stack(masks)


@pytest.mark.parametrize("name", SELFIE_FILES)
def test_equals_litert_on_real_pictures(networks_folder: Path, name: str) -> None:
    file = networks_folder / f"{name}.tflite"
    session = onnxruntime.InferenceSession(convert(file.read_bytes()), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    pictures = real_pictures((given.shape[2], given.shape[3]))

    (masks,) = session.run([OUTPUT], {INPUT: np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))})

    expected = on_litert(file, pictures)
    assert expected.max() > 0.95 > 0.05 > expected.min()  # there are people, and there is what is none
    assert np.abs(masks[:, 0] - expected).max() < MOST_DIFFERENCE


def test_takes_any_number_of_pictures(networks_folder: Path) -> None:
    content = convert((networks_folder / f"{SELFIE_FILES[0]}.tflite").read_bytes())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    assert session.get_inputs()[0].shape == ["n", 3, 144, 256]
    assert session.get_outputs()[0].shape == ["n", 1, 144, 256]


def test_other_files_are_refused(networks_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (networks_folder / f"{SELFIE_FILES[0]}.tflite").read_bytes()
    for content in (b"", b"TFL3" * 20, whole[: len(whole) // 2]):
        with pytest.raises(NetworkFileError, match="not a selfie network"):
            convert(content)

    assert main(["--networks", str(tmp_path)]) == 1
    assert re.search(r"selfie_segmentation_landscape\.tflite", capsys.readouterr().err)


def test_the_command_writes_a_file_beside_each(networks_folder: Path, tmp_path: Path) -> None:
    for name in SELFIE_FILES:
        (tmp_path / f"{name}.tflite").symlink_to(networks_folder / f"{name}.tflite")

    assert main(["--networks", str(tmp_path)]) == 0

    for name in SELFIE_FILES:
        made = (tmp_path / f"{name}.onnx").read_bytes()
        assert made == convert((tmp_path / f"{name}.tflite").read_bytes())
