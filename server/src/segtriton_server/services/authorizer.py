"""Who may use the models: requests that carry one of the tokens in a file, or everybody."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtriton_protocol import ErrorCode, SegtritonError

_LOG = logging.getLogger(__name__)
_HEADER = "authorization"
_SCHEME = "bearer"

_Signature = tuple[int, int, int]


class TokenFileError(RuntimeError):
    """The setting `token_file` names a file that gives no token."""


class Authorizer:
    """Checks each request's bearer token. Calls come from one thread.

    The file holds one accepted token a line, so that a new token can be accepted before the old one is withdrawn. It is
    read again when it has changed; a mounted secret changes by a link that points to another file.
    """

    def __init__(self, token_file: str) -> None:
        """Read the tokens, or let everybody in if no file is named.

        Raises:
            TokenFileError: the file cannot be read or holds no token.
        """
        self._path = Path(token_file) if token_file else None
        self._tokens: tuple[bytes, ...] = ()
        self._signature: _Signature | None = None
        self._is_stale = False
        if self._path is not None:
            self._signature, self._tokens = _read(self._path)

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Return if a request may be served.

        Args:
            parameters: the request's, among which Triton puts the headers that it forwards.

        Raises:
            SegtritonError: UNAUTHENTICATED.
        """
        if self._path is None:
            return
        self._refresh(self._path)
        token = _bearer_token(parameters)
        # All are compared, so that the time taken tells nothing about any of them.
        if not any([hmac.compare_digest(token, accepted) for accepted in self._tokens]):
            reason = "The request's token is not accepted here." if token else "The request carries no bearer token."
            raise SegtritonError(ErrorCode.UNAUTHENTICATED, reason)

    def _refresh(self, path: Path) -> None:
        """Take a changed file's tokens; one that cannot be used leaves the last ones in force."""
        try:
            if _signature(path) != self._signature:
                self._signature, self._tokens = _read(path)
                _LOG.info("The tokens have changed; %d accepted now", len(self._tokens))
            self._is_stale = False
        except (OSError, TokenFileError) as error:
            if not self._is_stale:
                _LOG.warning("The tokens that were read last stay in force: %s", error)
            self._is_stale = True


def _read(path: Path) -> tuple[_Signature, tuple[bytes, ...]]:
    try:
        # Before the content: of a change in between, the next request takes notice.
        signature = _signature(path)
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise TokenFileError(
            f"The setting token_file names {path}, which cannot be read ({error.strerror}); "
            "write the accepted tokens into it, one a line."
        ) from None
    tokens = tuple(line.strip() for line in lines if line.strip())
    if not tokens:
        raise TokenFileError(f"The setting token_file names {path}, which is empty; write a token a line into it.")
    return signature, tokens


def _signature(path: Path) -> _Signature:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size


def _bearer_token(parameters: Mapping[str, Any]) -> bytes:
    """The token, empty if there is none. Over HTTP, a header's name comes as the client has spelled it."""
    values = [str(value) for name, value in parameters.items() if name.lower() == _HEADER]
    scheme, _, token = values[0].partition(" ") if values else ("", "", "")
    return token.strip().encode("utf-8", "replace") if scheme.lower() == _SCHEME else b""
