import hashlib
from pathlib import Path

import pytest

from segtriton_server.launch.errors import AssetError
from segtriton_server.launch.weights import WEIGHTS, Weights, fetch_weights, main

CONTENT = b"weights of a network"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "network-1.pth").write_bytes(CONTENT)
    return folder


@pytest.fixture
def weights() -> Weights:
    return Weights("network", "network-1.pth", hashlib.sha256(CONTENT).hexdigest())


def test_fetches_the_pinned_file(source: Path, weights: Weights, tmp_path: Path) -> None:
    path = fetch_weights(weights, tmp_path / "into", source.as_uri())

    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["network-1.pth"]


def test_an_intact_file_is_not_fetched_again(source: Path, weights: Weights, tmp_path: Path) -> None:
    fetch_weights(weights, tmp_path / "into", source.as_uri())
    (source / "network-1.pth").unlink()

    assert fetch_weights(weights, tmp_path / "into", source.as_uri()).read_bytes() == CONTENT


def test_a_damaged_file_is_replaced(source: Path, weights: Weights, tmp_path: Path) -> None:
    path = fetch_weights(weights, tmp_path / "into", source.as_uri())
    path.write_bytes(b"half of it")

    assert fetch_weights(weights, tmp_path / "into", source.as_uri()).read_bytes() == CONTENT


def test_another_file_is_refused_and_leaves_nothing(source: Path, weights: Weights, tmp_path: Path) -> None:
    (source / "network-1.pth").write_bytes(b"something else")

    with pytest.raises(AssetError, match="not the file that was pinned"):
        fetch_weights(weights, tmp_path / "into", source.as_uri())
    assert not list((tmp_path / "into").iterdir())


def test_a_source_without_the_file_says_what_to_do(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fcn_resnet101", "--into", str(tmp_path / "into"), "--source", source.as_uri()]) == 1
    assert "--source" in capsys.readouterr().err


def test_file_names_end_with_the_first_digits_of_their_sum() -> None:
    for weights in WEIGHTS:
        assert weights.file_name.endswith(f"-{weights.sha256[:8]}.pth")
        assert len(weights.sha256) == 64
