import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from segtriton_server.launch import assets
from segtriton_server.launch.assets import ASSETS, Asset, Wheel, cache_folder, cached_path, fetch
from segtriton_server.launch.errors import AssetError

CONTENT = b"weights"
WHEEL = Wheel(name="nets", version="1.0", sha256="0" * 64)
NETWORK = Asset(
    kind="networks",
    name="person.tflite",
    wheel=WHEEL,
    member="nets/person.tflite",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="Apache-2.0",
)

Registry = Callable[[dict[str, bytes]], list[Wheel]]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Makes `download` give a wheel with these members; returns the list of what was asked for."""

    def serve(members: dict[str, bytes]) -> list[Wheel]:
        asked: list[Wheel] = []

        def download(wheel: Wheel, folder: Path) -> Path:
            asked.append(wheel)
            path = folder / "nets-1.0-py3-none-any.whl"
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
            return path

        monkeypatch.setattr(assets, "download", download)
        return asked

    return serve


def test_places_the_file_under_its_kind(tmp_path: Path, registry: Registry) -> None:
    registry({NETWORK.member: CONTENT})

    placed = fetch(tmp_path / "into", [NETWORK], cache=tmp_path / "cache")

    assert placed == [tmp_path / "into/networks/person.tflite"]
    assert placed[0].read_bytes() == CONTENT


def test_one_download_serves_all_files_of_a_wheel(tmp_path: Path, registry: Registry) -> None:
    other = Asset("clips", "clip.mp4", WHEEL, "nets/clip.mp4", hashlib.sha256(b"clip").hexdigest(), "CC0")
    asked = registry({NETWORK.member: CONTENT, other.member: b"clip"})

    fetch(tmp_path / "into", [NETWORK, other], cache=tmp_path / "cache")

    assert asked == [WHEEL]


def test_a_second_checkout_is_served_from_the_cache(tmp_path: Path, registry: Registry) -> None:
    asked = registry({NETWORK.member: CONTENT})

    fetch(tmp_path / "first", [NETWORK], cache=tmp_path / "cache")
    placed = fetch(tmp_path / "second", [NETWORK], cache=tmp_path / "cache")

    assert asked == [WHEEL]
    assert placed[0].read_bytes() == CONTENT


@pytest.mark.parametrize("spoil", ["cache", "placed"])
def test_a_spoiled_file_is_replaced(tmp_path: Path, registry: Registry, spoil: str) -> None:
    registry({NETWORK.member: CONTENT})
    (placed,) = fetch(tmp_path / "into", [NETWORK], cache=tmp_path / "cache")
    spoiled = placed if spoil == "placed" else cached_path(NETWORK, tmp_path / "cache")
    spoiled.write_bytes(CONTENT[:3])

    fetch(tmp_path / "into", [NETWORK], cache=tmp_path / "cache")

    assert spoiled.read_bytes() == CONTENT


def test_refuses_another_file_under_the_same_name(tmp_path: Path, registry: Registry) -> None:
    registry({NETWORK.member: b"something else"})

    with pytest.raises(AssetError, match="is not the file that was pinned"):
        fetch(tmp_path / "into", [NETWORK], cache=tmp_path / "cache")

    assert not list(tmp_path.rglob("person.tflite"))


def test_says_which_file_a_wheel_lacks(tmp_path: Path, registry: Registry) -> None:
    registry({})

    with pytest.raises(AssetError, match=r"nets 1\.0 holds no nets/person\.tflite"):
        fetch(tmp_path / "into", [NETWORK], cache=tmp_path / "cache")


def test_an_unreachable_registry_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: no route to host\n")

    monkeypatch.setattr(subprocess, "run", refuse)

    with pytest.raises(AssetError, match=r"nets 1\.0 \(ERROR: no route to host\).*PIP_INDEX_URL"):
        fetch(tmp_path / "into", [NETWORK], cache=tmp_path / "cache")


def test_pip_is_held_to_the_hash_and_to_one_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def pip(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        seen["command"] = " ".join(command)
        seen["requirements"] = Path(command[-1]).read_text()
        (tmp_path / "nets-1.0-py3-none-any.whl").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)

    assert assets.download(WHEEL, tmp_path).name == "nets-1.0-py3-none-any.whl"
    assert seen["requirements"] == f"nets==1.0 --hash=sha256:{WHEEL.sha256}\n"
    assert seen["command"].startswith(f"{sys.executable} -m pip")
    assert "--require-hashes --only-binary=:all:" in seen["command"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SEGTRITON_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/segtriton")),
        ({}, Path.home() / ".cache/segtriton"),
    ],
    ids=["own variable", "XDG", "default"],
)
def test_cache_folder(environment: dict[str, str], expected: Path) -> None:
    assert cache_folder(environment) == expected


def test_command_fetches_one_kind(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assets, "ASSETS", (NETWORK,))
    registry({NETWORK.member: CONTENT})

    status = assets.main(["--into", str(tmp_path), "--cache", str(tmp_path / "cache"), "--only", "clips"])

    assert status == 0
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "networks").exists()


def test_command_reports_a_failure_in_one_line(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assets, "ASSETS", (NETWORK,))
    registry({})

    assert assets.main(["--into", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 1
    assert capsys.readouterr().err == "assets: nets 1.0 holds no nets/person.tflite.\n"


def test_every_asset_is_pinned_and_has_a_licence() -> None:
    assert len({(asset.kind, asset.name) for asset in ASSETS}) == len(ASSETS)
    for asset in ASSETS:
        assert len(bytes.fromhex(asset.sha256)) == len(bytes.fromhex(asset.wheel.sha256)) == 32
        assert asset.licence
