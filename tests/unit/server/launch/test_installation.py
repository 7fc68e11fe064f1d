import sys
from pathlib import Path

import pytest

from segtriton_server.launch import installation
from segtriton_server.launch.errors import StubError, TritonNotFoundError
from segtriton_server.launch.installation import PYTHON_VERSION, STUB_NAME, find_triton, wheel_binaries


def make_triton(root: Path, *, stub_versions: tuple[str, ...] = ()) -> Path:
    """Lays out a Triton with empty files; with stub versions, the way the wheel does it."""
    binary = root / "bin" / "tritonserver"
    backend = root / "backends" / "python"
    stubs = [root / "python_backend_stubs" / version / STUB_NAME for version in stub_versions]
    for file in (binary, backend / "libtriton_python.so", *(stubs or [backend / STUB_NAME])):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o755)
    return binary


def environment_with(binary: Path) -> dict[str, str]:
    return {"PATH": str(binary.parent)}


def test_finds_a_server_on_path_through_links(tmp_path: Path) -> None:
    binary = make_triton(tmp_path / "triton")
    linked = tmp_path / "bin" / "tritonserver"
    linked.parent.mkdir()
    linked.symlink_to(binary)

    found = find_triton(environment_with(linked))

    assert found.binary == binary
    assert found.stub == tmp_path / "triton/backends/python" / STUB_NAME
    assert not found.is_from_wheel


def test_a_container_uses_its_own_backends(tmp_path: Path) -> None:
    found = find_triton(environment_with(make_triton(tmp_path / "triton")))

    assert found.link_backends(tmp_path / "links") == tmp_path / "triton/backends"
    assert not (tmp_path / "links").exists()


def test_the_wheel_gets_links_with_the_stub_of_this_python(tmp_path: Path) -> None:
    found = find_triton(environment_with(make_triton(tmp_path / "triton", stub_versions=("3.8", PYTHON_VERSION))))

    folder = found.link_backends(tmp_path / "links")

    assert found.is_from_wheel
    assert {path.name for path in (folder / "python").iterdir()} == {"libtriton_python.so", STUB_NAME}
    assert (folder / "python" / STUB_NAME).resolve() == found.stub


def test_says_which_pythons_the_wheel_has_stubs_for(tmp_path: Path) -> None:
    found = find_triton(environment_with(make_triton(tmp_path / "triton", stub_versions=("3.7", "3.8"))))

    with pytest.raises(StubError, match=r"use one of 3\.7, 3\.8"):
        found.link_backends(tmp_path / "links")


def test_no_server_is_an_error_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "CONTAINER_BINARY", tmp_path / "none")
    monkeypatch.setattr(installation, "wheel_binaries", lambda: [tmp_path / "none either"])

    with pytest.raises(TritonNotFoundError, match="nvidia-pytriton"):
        find_triton({"PATH": str(tmp_path)})


def test_finding_the_wheel_does_not_import_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pytriton"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.delitem(sys.modules, "pytriton", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))

    assert wheel_binaries() == [package / "tritonserver/bin/tritonserver"]
