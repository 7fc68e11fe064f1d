import os
from pathlib import Path

import pytest
from authorities import Authority, Identity

from segtriton_server.renewed_certificates import is_restart_due

RENEWED = 1_000_000.0
SPREAD = 600.0
FILES = ("tls.crt", "tls.key", "ca.crt")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "authority").mkdir()
    return Authority(tmp_path / "authority")


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    put(folder, authority.issue("server"))
    (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
    touch(folder, *FILES)
    return folder


def put(folder: Path, identity: Identity) -> None:
    (folder / "tls.crt").write_bytes(identity.certificate.read_bytes())
    (folder / "tls.key").write_bytes(identity.key.read_bytes())


def touch(folder: Path, *names: str, moment: float = RENEWED) -> None:
    for name in names:
        os.utime(folder / name, (moment, moment))


def test_what_the_server_has_read_is_no_reason(folder: Path) -> None:
    assert not is_restart_due(folder, RENEWED + 1, 0, RENEWED + 2)


@pytest.mark.parametrize("name", FILES)
def test_one_newer_file_is_enough(name: str, folder: Path) -> None:
    touch(folder, name, moment=RENEWED + 5)
    assert is_restart_due(folder, RENEWED + 1, 0, RENEWED + 5)


def test_authorities_are_needed_for_mutual_tls_only(folder: Path) -> None:
    (folder / "ca.crt").unlink()
    assert is_restart_due(folder, RENEWED - 1, 0, RENEWED)


def test_pods_restart_one_after_another_within_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def due(pod: str, after: float) -> bool:
        monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", pod, "", "", "")))
        return is_restart_due(folder, RENEWED - 1, SPREAD, RENEWED + after)

    pods = [f"segtriton-{number}" for number in range(100)]
    restarted = [sum(due(pod, after) for pod in pods) for after in (0, SPREAD / 4, SPREAD / 2, SPREAD)]
    assert restarted[0] == 0
    assert 10 < restarted[1] < 40 < restarted[2] < 60
    assert restarted[3] == 100


def test_a_certificate_that_does_not_fit_its_key_is_never_taken(folder: Path, authority: Authority) -> None:
    (folder / "tls.crt").write_bytes(authority.issue("another").certificate.read_bytes())
    assert not is_restart_due(folder, RENEWED - 1, 0, RENEWED * 2000)


def test_authorities_that_cannot_be_read_are_never_taken(folder: Path) -> None:
    (folder / "ca.crt").write_text("none")
    assert not is_restart_due(folder, RENEWED - 1, 0, RENEWED * 2000)


def test_without_a_certificate_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"tls\.crt"):
        is_restart_due(tmp_path, 0, 0, 1)
