from pathlib import Path

import numpy as np
import pytest

from segtriton_client.image_files import ImageFiles, UnfinishedImages, write_image
from segtriton_client.image_sequence import ImageSequence

PIXELS = np.zeros((8, 8, 3), np.uint8)


def open_folder(folder: Path) -> UnfinishedImages:
    write_image(PIXELS, folder / "given" / "1.png")
    return ImageFiles(folder / "given", folder / "made")


def open_sequence(folder: Path) -> UnfinishedImages:
    return ImageSequence(folder / "made" / "%d.png")


@pytest.mark.parametrize("open_output", [open_folder, open_sequence])
def test_images_have_their_names_when_all_are_written_and_leave_nothing_before(tmp_path: Path, open_output) -> None:
    made = tmp_path / "made"
    with open_output(tmp_path) as output:
        output.write(PIXELS, made / "1.png")
        assert [path.name for path in made.iterdir()] == ["1.part.png"]
    assert not list(made.iterdir())

    with open_output(tmp_path) as output:
        output.write(PIXELS, made / "1.png")
        output.commit()
    assert [path.name for path in made.iterdir()] == ["1.png"]
