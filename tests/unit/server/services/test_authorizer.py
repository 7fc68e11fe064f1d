"""Which tokens are accepted, and what happens to them when their file changes."""

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.services.authorizer import Authorizer
from segtriton_server.services.signed_tokens import SigningKeyError
from segtriton_server.services.token_file import TokenFileError
from segtriton_server.settings import Settings


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
    Authorizer(Settings(token_file="")).check({})


@pytest.mark.parametrize("value", ["Bearer old", "Bearer new", "bearer new", "Bearer  new "])
def test_each_line_is_a_token(token_file: Path, value: str) -> None:
    assert is_accepted(Authorizer(Settings(token_file=str(token_file))), value)


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "old", "Basic old", "Bearer ol", "Bearer old new", "Bearer ö", 7]
)
def test_anything_else_is_refused(token_file: Path, value: object) -> None:
    assert not is_accepted(Authorizer(Settings(token_file=str(token_file))), value)


def test_a_request_without_the_header_is_told_so(token_file: Path) -> None:
    with pytest.raises(SegtritonError, match=r"UNAUTHENTICATED: .*no bearer token.*--token-file") as caught:
        Authorizer(Settings(token_file=str(token_file))).check({"effect": "blur"})

    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert not caught.value.retryable


def test_the_headers_name_may_be_spelled_in_any_case(token_file: Path) -> None:
    assert is_accepted(Authorizer(Settings(token_file=str(token_file))), "Bearer old", name="Authorization")


def test_another_target_of_the_link_brings_other_tokens(tmp_path: Path) -> None:
    """As a mounted secret is updated: token -> ..data/token, ..data -> a folder a version."""
    for number in (1, 2):
        folder = tmp_path / f"version{number}"
        folder.mkdir()
        (folder / "token").write_text(f"token{number}\n")
        os.utime(folder / "token", (1_000_000, 1_000_000))  # only the file is another one
    (tmp_path / "..data").symlink_to("version1")
    (tmp_path / "token").symlink_to("..data/token")
    authorizer = Authorizer(Settings(token_file=str(tmp_path / "token")))
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
    authorizer = Authorizer(Settings(token_file=str(token_file)))
    damage(token_file)  # type: ignore[operator]

    assert [is_accepted(authorizer, f"Bearer {token}") for token in ("old", "old", "other")] == [True, True, False]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1

    token_file.write_text("other\n")
    assert [is_accepted(authorizer, f"Bearer {token}") for token in ("old", "other")] == [False, True]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match=r"token_file names .*/none, which cannot be read"):
        Authorizer(Settings(token_file=str(tmp_path / "none")))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n\n")
    with pytest.raises(TokenFileError, match="which is empty"):
        Authorizer(Settings(token_file=str(tmp_path / "token")))


def tenant_of(authorizer: Authorizer, token: str, *, is_opening: bool = True) -> str:
    return authorizer.check({"authorization": f"Bearer {token}"}, is_opening=is_opening)


def test_a_line_may_be_a_hash_and_may_name_a_tenant(token_file: Path) -> None:
    digest = hashlib.sha256(b"hidden").hexdigest()
    token_file.write_text(f"sha256:{digest} studio\nplain studio\nnameless\n")
    authorizer = Authorizer(Settings(token_file=str(token_file)))

    assert tenant_of(authorizer, "hidden") == tenant_of(authorizer, "plain") == "studio"
    assert tenant_of(authorizer, "nameless") not in ("", "studio")
    for not_a_token in (digest, f"sha256:{digest}", "studio"):
        assert not is_accepted(authorizer, f"Bearer {not_a_token}")


def test_a_hash_that_is_none_is_refused_at_the_start(token_file: Path) -> None:
    token_file.write_text("sha256:1234\n")
    with pytest.raises(TokenFileError, match="no SHA-256"):
        Authorizer(Settings(token_file=str(token_file)))


KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"sub": "studio", "aud": "segtriton", "iss": "https://issuer.example"}


def signed(key: object = KEY, algorithm: str = "ES256", seconds: float = 600, **claims: object) -> str:
    wanted = {"exp": time.time() + seconds, **CLAIMS, **claims}
    return jwt.encode({k: v for k, v in wanted.items() if v is not None}, key, algorithm)  # type: ignore[arg-type]


@pytest.fixture
def signing(tmp_path: Path) -> Authorizer:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    return Authorizer(Settings(jwt_key_file=str(tmp_path / "key.pem"), jwt_issuer=CLAIMS["iss"]))


def test_a_signed_token_names_its_tenant(signing: Authorizer) -> None:
    assert tenant_of(signing, signed()) == "studio"


@pytest.mark.parametrize(
    "token",
    [
        signed(seconds=-60),
        signed(exp=None),
        signed(exp="soon"),
        signed(exp=10**400),
        signed(sub=None),
        signed(aud="other"),
        signed(aud=None),
        signed(iss="https://elsewhere.example"),
        signed(nbf=time.time() + 600),
        signed(ec.generate_private_key(ec.SECP256R1())),
        signed("", "none"),
        signed("a secret of more than thirty-two bytes, shared", "HS256"),
        signed().rpartition(".")[0] + ".",
        signed()[:-4] + "AAAA",
        "a.b.c",
    ],
)
def test_signed_tokens_that_are_not_for_here(signing: Authorizer, token: str) -> None:
    with pytest.raises(SegtritonError) as caught:
        tenant_of(signing, token)
    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert token not in str(caught.value)


def test_a_session_lasts_longer_than_the_token_that_opened_it(signing: Authorizer, monkeypatch: Any) -> None:
    token = signed(seconds=60)
    assert tenant_of(signing, token) == "studio"
    later = time.time() + 120
    monkeypatch.setattr(time, "time", lambda: later)

    assert tenant_of(signing, token, is_opening=False) == "studio"
    with pytest.raises(SegtritonError):
        tenant_of(signing, token)


def test_a_session_lasts_longer_than_its_token_whoever_came_meanwhile(signing: Authorizer) -> None:
    token = signed(seconds=-60)
    for number in range(1100):
        tenant_of(signing, signed(sub=f"other {number}"))

    assert tenant_of(signing, token, is_opening=False) == "studio"
    with pytest.raises(SegtritonError):
        tenant_of(signing, token)


def test_a_key_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("none")
    with pytest.raises(SigningKeyError, match="no public key"):
        Authorizer(Settings(jwt_key_file=str(tmp_path / "key.pem")))
