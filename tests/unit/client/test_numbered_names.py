from pathlib import Path

import pytest

from segtriton_client.numbered_names import as_ffmpeg_pattern, files_like, is_numbered, with_number


@pytest.mark.parametrize(
    ("name", "seventh"),
    [("frame_%04d.png", "frame_0007.png"), ("%d.png", "7.png"), ("50%_%02d.png", "50%_07.png"), ("%3d", "  7")],
)
def test_a_number_has_its_place(name: str, seventh: str) -> None:
    assert is_numbered(name)
    assert with_number(name, 7) == seventh


@pytest.mark.parametrize("name", ["100%.mp4", "%s.png", "a%20b.png", "50%_done.png", "plain.png"])
def test_other_percent_signs_are_letters(name: str) -> None:
    assert not is_numbered(name)


def test_the_files_of_a_pattern(tmp_path: Path) -> None:
    for name in ("a[1].png", "a[02].png", "a[].png", "a[x].png", "ba[1].png", "a1.png"):
        (tmp_path / name).touch()

    assert [path.name for path in files_like(tmp_path / "a[%02d].png")] == ["a[02].png", "a[1].png"]


def test_ffmpeg_sees_a_percent_sign_of_no_number_twice() -> None:
    assert as_ffmpeg_pattern("100%/50%_%04d.png") == "100%%/50%%_%04d.png"
