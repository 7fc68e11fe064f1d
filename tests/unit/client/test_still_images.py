from pathlib import Path

import numpy as np
import pytest

from segtriton_client.errors import InputError
from segtriton_client.still_images import WRITTEN_SUFFIXES, encode_still, is_still, read_still, written_suffix

SIZE_HW = (31, 45)  # odd ones


def pixels(channels: int = 3) -> np.ndarray:
    picture = np.full((*SIZE_HW, channels), 100, np.uint8)
    picture[:, 20:, :3] = (190, 60, 40)
    picture[:10, :, 3:] = 0
    return picture


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix.upper()}"
    path.write_bytes(encode_still(pixels(), path.suffix))
    found = read_still(path)

    assert is_still(path)
    assert (found.has_alpha, found.is_deep, found.is_of_file) == (False, False, True)
    assert np.abs(found.rgb[:, [5, 40]].astype(int) - pixels()[:, [5, 40]]).max() < 8


@pytest.mark.parametrize(
    ("suffix", "keeps"), [(".png", True), (".webp", True), (".tiff", True), (".bmp", True), (".jpg", False)]
)
def test_alpha_is_written_where_it_has_a_place(tmp_path: Path, suffix: str, keeps: bool) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(encode_still(pixels(4), suffix))

    assert read_still(path).has_alpha == keeps


def test_what_cannot_be_written_becomes_png() -> None:
    assert [written_suffix(suffix) for suffix in (".HEIC", ".avif", ".gif", ".JPG", ".webp")] == [
        ".png",
        ".png",
        ".png",
        ".JPG",
        ".webp",
    ]


def test_a_name_alone_may_be_an_image(tmp_path: Path) -> None:
    assert is_still(tmp_path / "missing.heic")
    assert not is_still(tmp_path / "missing.mp4")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WEBPVP8X", b"\x89PNG", b"GIF89a", b"text"])
def test_a_damaged_image_is_refused_as_such(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.webp"
    path.write_bytes(content)

    assert is_still(path)
    with pytest.raises(InputError):
        read_still(path)
