from pathlib import Path

from segtriton_server.services.model_repository import find_networks


def test_networks_are_those_with_a_streaming_model(tmp_path: Path) -> None:
    for name in ("selfie", "selfie_streaming", "colors_streaming", "notes_streaming"):
        (tmp_path / name).mkdir()
    for name in ("selfie", "selfie_streaming", "colors_streaming"):
        (tmp_path / name / "config.pbtxt").touch()

    assert find_networks(tmp_path) == ("colors", "selfie")
    assert find_networks(tmp_path / "nowhere") == find_networks(None) == ()


def test_they_are_not_more_than_an_answer_holds(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"n{number:03}_streaming").mkdir()
        (tmp_path / f"n{number:03}_streaming" / "config.pbtxt").touch()

    assert len(find_networks(tmp_path)) == 256
