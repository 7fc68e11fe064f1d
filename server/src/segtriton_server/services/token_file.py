"""The accepted bearer tokens, read from a file and again when it has changed."""

from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import dataclass
from pathlib import Path

_LOG = logging.getLogger(__name__)
_HASH_PREFIX = "sha256:"
_SHORT = 12

_Signature = tuple[int, int, int]


class TokenFileError(RuntimeError):
    """The setting `token_file` names a file that gives no token."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A token's SHA-256, and whose it is."""

    digest: bytes
    tenant: str


class TokenFile:
    """Knows whose a token is. Calls come from one thread.

    A line of the file is a token, or `sha256:` and its SHA-256 in hexadecimal, so that the file itself lets nobody in;
    after a space may follow the tenant, which several tokens may share: a new one can be accepted before the old one is
    withdrawn. A mounted secret changes by a link that points to another file.
    """

    def __init__(self, path: Path) -> None:
        """Read the tokens.

        Raises:
            TokenFileError: the file cannot be read, holds no token, or a hash that is none.
        """
        self._path = path
        self._is_stale = False
        self._signature, self._accepted = _read(path)

    def tenant_of(self, token: bytes) -> str | None:
        """Return whose token it is, None if it is not accepted."""
        self._refresh()
        digest = hashlib.sha256(token).digest()
        # All are compared, so that the time taken tells nothing about any of them.
        matches = [accepted for accepted in self._accepted if hmac.compare_digest(digest, accepted.digest)]
        return matches[0].tenant if matches else None

    def _refresh(self) -> None:
        """Take a changed file's tokens; one that cannot be used leaves the last ones in force."""
        try:
            if _signature(self._path) != self._signature:
                self._signature, self._accepted = _read(self._path)
                _LOG.info("The tokens have changed; %d accepted now", len(self._accepted))
            self._is_stale = False
        except (OSError, TokenFileError) as error:
            if not self._is_stale:
                _LOG.warning("The tokens that were read last stay in force: %s", error)
            self._is_stale = True


def _read(path: Path) -> tuple[_Signature, tuple[_Accepted, ...]]:
    try:
        # Before the content: of a change in between, the next request takes notice.
        signature = _signature(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TokenFileError(
            f"The setting token_file names {path}, which cannot be read ({error.strerror}); "
            "write the accepted tokens into it, one a line."
        ) from None
    accepted = tuple(_parse(path, line) for line in lines if line.strip())
    if not accepted:
        raise TokenFileError(f"The setting token_file names {path}, which is empty; write a token a line into it.")
    return signature, accepted


def _parse(path: Path, line: str) -> _Accepted:
    token, _, tenant = line.strip().partition(" ")
    if token.startswith(_HASH_PREFIX):
        digest = _from_hex(token.removeprefix(_HASH_PREFIX))
        if len(digest) != hashlib.sha256().digest_size:
            raise TokenFileError(f"{path} has a line that begins with {_HASH_PREFIX} and is no SHA-256 in hexadecimal.")
    else:
        digest = hashlib.sha256(token.encode()).digest()
    return _Accepted(digest, tenant.strip() or digest.hex()[:_SHORT])


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _signature(path: Path) -> _Signature:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size
