"""The command `segtriton-networks`, with its trial in a real confined process."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from onnx_networks import (
    SIZE_HW,
    average_card,
    average_model,
    colors_card,
    endless_model,
    greedy_model,
    write_average,
    write_colors,
    write_network,
)

from segtriton_server.launch.networks import main


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def add(folder: Path, tmp_path: Path, *options: Any) -> Result:
    return run("add", folder, "--repository", tmp_path / "models", "--networks", tmp_path / "networks", *options)


def read_parameters(config: Path) -> dict[str, str]:
    lines = [line for line in config.read_text().splitlines() if line.startswith("parameters")]
    return {line.split('"')[1]: line.split('"')[3] for line in lines}


def test_a_good_network_is_shown_and_nothing_is_written(tmp_path: Path) -> None:
    picture, mask = tmp_path / "red.png", tmp_path / "mask.png"
    half = np.zeros((64, 96, 3), np.uint8)
    half[:, :48, 2] = 255  # OpenCV's third is red
    cv2.imwrite(str(picture), half)
    folder = write_colors(tmp_path / "mine")

    done = run("check", folder, "--picture", picture, "--mask", mask)

    assert done.exit_code == 0, done.output
    assert "network  colors, 48x32, Apache-2.0, made by the tests" in done.output
    assert "labels   3: background, red, blue" in done.output
    assert "picture  background 50.0%, red 50.0%, blue 0.0%" in done.output
    assert "pictures/s in batches of 1, " in done.output
    assert " pictures/s in batches of 4" in done.output
    shown = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    assert shown.shape == (64, 96)
    assert (shown[:, :46] == 255).all()
    assert not shown[:, 50:].any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.png", "mine", "red.png"]


def test_all_mistakes_are_shown(tmp_path: Path) -> None:
    done = run("check", write_colors(tmp_path, default_class="dog", licence=3))

    assert done.exit_code == 1
    assert "Error: The card has mistakes:\n  licence must be" in done.output
    assert "\n  default_class must be one of the labels" in done.output


def test_a_network_is_added_with_two_models(tmp_path: Path) -> None:
    folder = write_average(tmp_path / "mine")
    (folder / "notes.txt").write_text("stays here")

    done = add(folder, tmp_path)

    assert done.exit_code == 0, done.output
    assert "--model average --model average_streaming" in done.output
    added = tmp_path / "networks" / "average"
    assert sorted(path.name for path in added.iterdir()) == ["network.onnx", "network.yaml"]
    assert [path.name for path in added.parent.iterdir()] == ["average"]
    for model in ("average", "average_streaming"):
        parameters = read_parameters(tmp_path / "models" / model / "config.pbtxt")
        assert int(parameters.pop("network_memory_bytes")) >= 16 << 20
        assert parameters == {
            "network": "average",
            "network_state_bytes": str(4 * SIZE_HW[0] * SIZE_HW[1]),
            "batch_size": "4",
        }


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    assert add(write_colors(tmp_path / "mine"), tmp_path).exit_code == 0
    other = write_colors(tmp_path / "other", licence="MIT")

    refused = add(other, tmp_path)
    assert refused.exit_code == 1
    assert "colors is there already; --replace takes its place." in refused.output
    card = tmp_path / "networks" / "colors" / "network.yaml"
    assert yaml.safe_load(card.read_text())["licence"] == "Apache-2.0"

    assert add(other, tmp_path, "--replace").exit_code == 0
    assert yaml.safe_load(card.read_text())["licence"] == "MIT"


def test_a_network_that_lies_in_its_place_gets_its_models(tmp_path: Path) -> None:
    folder = write_colors(tmp_path / "networks")

    assert add(folder, tmp_path).exit_code == 0
    assert (folder / "network.onnx").is_file()
    assert (tmp_path / "models" / "colors_streaming" / "1" / "model.py").is_file()


def test_models_for_a_gpu_say_so(tmp_path: Path) -> None:
    assert add(write_colors(tmp_path / "mine"), tmp_path, "--accelerator", "gpu").exit_code == 0
    assert read_parameters(tmp_path / "models" / "colors" / "config.pbtxt")["accelerator"] == "gpu"


@pytest.mark.parametrize(
    ("graph", "options", "answer"),
    [
        (greedy_model(), (), "it wants more memory than there is."),
        (
            endless_model(threshold=-1e9),
            ("--seconds", 3),
            "the network's process took longer",
        ),
    ],
    ids=["greedy", "endless"],
)
def test_a_hostile_network_is_refused_and_nothing_is_written(
    tmp_path: Path, graph: Any, options: tuple[Any, ...], answer: str
) -> None:
    done = add(write_network(tmp_path / "mine", graph, colors_card()), tmp_path, *options)

    assert done.exit_code == 1
    assert answer in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_a_picture_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(content)
    done = run("check", write_colors(tmp_path), "--picture", picture)

    assert done.exit_code == 1
    assert "is no picture that can be read; give a PNG or JPEG." in done.output


def test_what_cannot_be_opened_or_written_is_named(tmp_path: Path) -> None:
    folder = write_network(tmp_path, average_model(), average_card())
    assert (
        "nowhere.png: No such file or directory." in run("check", folder, "--picture", tmp_path / "nowhere.png").output
    )
    assert "mask.xyz must end in .png or .jpg." in run("check", folder, "--mask", tmp_path / "mask.xyz").output
