"""Which tokens are accepted, and what happens to them when their file changes."""

import logging
import os
from pathlib import Path

import pytest

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.services.authorizer import Authorizer, TokenFileError


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old\n\n  new  \n")
    return path


def is_accepted(authorizer: Authorizer, value: object, name: str = "authorization") -> bool:
    try:
        authorizer.check({name: value})
    except SegtritonError:
        return False
    return True


def test_without_a_file_everybody_is_served() -> None:
    Authorizer("").check({})


@pytest.mark.parametrize("value", ["Bearer old", "Bearer new", "bearer new", "Bearer  new "])
def test_each_line_is_a_token(token_file: Path, value: str) -> None:
    assert is_accepted(Authorizer(str(token_file)), value)


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "old", "Basic old", "Bearer ol", "Bearer old new", "Bearer ö", 7]
)
def test_anything_else_is_refused(token_file: Path, value: object) -> None:
    assert not is_accepted(Authorizer(str(token_file)), value)


def test_a_request_without_the_header_is_told_so(token_file: Path) -> None:
    with pytest.raises(SegtritonError, match=r"UNAUTHENTICATED: .*no bearer token.*--token-file") as caught:
        Authorizer(str(token_file)).check({"effect": "blur"})

    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert not caught.value.retryable


def test_the_headers_name_may_be_spelled_in_any_case(token_file: Path) -> None:
    assert is_accepted(Authorizer(str(token_file)), "Bearer old", name="Authorization")


def test_another_target_of_the_link_brings_other_tokens(tmp_path: Path) -> None:
    """As a mounted secret is updated: token -> ..data/token, ..data -> a folder a version."""
    for number in (1, 2):
        folder = tmp_path / f"version{number}"
        folder.mkdir()
        (folder / "token").write_text(f"token{number}\n")
        os.utime(folder / "token", (1_000_000, 1_000_000))  # only the file is another one
    (tmp_path / "..data").symlink_to("version1")
    (tmp_path / "token").symlink_to("..data/token")
    authorizer = Authorizer(str(tmp_path / "token"))
    assert is_accepted(authorizer, "Bearer token1")

    (tmp_path / "..tmp").symlink_to("version2")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    assert is_accepted(authorizer, "Bearer token2")
    assert not is_accepted(authorizer, "Bearer token1")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("\n")], ids=["gone", "empty"])
def test_a_file_that_becomes_unusable_leaves_the_tokens_in_force(
    token_file: Path, damage: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("segtriton_server"), "propagate", True)
    authorizer = Authorizer(str(token_file))
    damage(token_file)  # type: ignore[operator]

    assert [is_accepted(authorizer, f"Bearer {token}") for token in ("old", "old", "other")] == [True, True, False]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1

    token_file.write_text("other\n")
    assert [is_accepted(authorizer, f"Bearer {token}") for token in ("old", "other")] == [False, True]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match=r"token_file names .*/none, which cannot be read"):
        Authorizer(str(tmp_path / "none"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n\n")
    with pytest.raises(TokenFileError, match="which is empty"):
        Authorizer(str(tmp_path / "token"))
