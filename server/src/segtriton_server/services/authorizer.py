"""Who may use the models, and who it is: those that show a token, or everybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.services.token_file import TokenFile
from segtriton_server.settings import Settings

if TYPE_CHECKING:
    from segtriton_server.services.signed_tokens import SignedTokens

_HEADER = "authorization"
_SCHEME = "bearer"
_ANYBODY = ""


class Authorizer:
    """Checks each request's bearer token. Calls come from one thread."""

    def __init__(self, settings: Settings) -> None:
        """Read the tokens and keys that the settings name, or let everybody in if they name none.

        Raises:
            TokenFileError: see `TokenFile`.
            SigningKeyError: see `SignedTokens`.
        """
        self._token_file = TokenFile(Path(settings.token_file)) if settings.token_file else None
        self._signed_tokens = _signed_tokens(settings) if settings.jwt_key_file else None

    def check(self, parameters: Mapping[str, Any], *, is_opening: bool = True) -> str:
        """Return the tenant whose request it is, "" where everybody is served.

        Args:
            parameters: the request's, among which Triton puts the headers that it forwards.
            is_opening: False for a message of a session, which lasts even if its token expires.

        Raises:
            SegtritonError: UNAUTHENTICATED.
        """
        if self._token_file is None and self._signed_tokens is None:
            return _ANYBODY
        token = _bearer_token(parameters)
        if not token:
            raise SegtritonError(ErrorCode.UNAUTHENTICATED, "The request carries no bearer token.")
        tenant = self._tenant_of(token, is_opening)
        if tenant is None:
            raise SegtritonError(ErrorCode.UNAUTHENTICATED, "The request's token is not accepted here.")
        return tenant

    def _tenant_of(self, token: str, is_opening: bool) -> str | None:
        tenant = None
        if self._token_file is not None:
            tenant = self._token_file.tenant_of(token.encode("utf-8", "replace"))
        if tenant is None and self._signed_tokens is not None:
            tenant = self._signed_tokens.tenant_of(token, may_have_expired=not is_opening)
        return tenant


def _signed_tokens(settings: Settings) -> SignedTokens:
    # Imported here, so that a server without signed tokens needs none of their packages.
    from segtriton_server.services.signed_tokens import SignedTokens

    return SignedTokens(Path(settings.jwt_key_file), settings.jwt_audience, settings.jwt_issuer)


def _bearer_token(parameters: Mapping[str, Any]) -> str:
    """The token, empty if there is none. Over HTTP, a header's name comes as the client has spelled it."""
    values = [str(value) for name, value in parameters.items() if name.lower() == _HEADER]
    scheme, _, token = values[0].partition(" ") if values else ("", "", "")
    return token.strip() if scheme.lower() == _SCHEME else ""
