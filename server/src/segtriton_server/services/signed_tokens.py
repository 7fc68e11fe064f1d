"""Bearer tokens that an identity provider signs: JSON Web Tokens (RFC 7519)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

_MOST_REMEMBERED = 1024
_LEEWAY_SECONDS = 30.0


class SigningKeyError(RuntimeError):
    """The setting `jwt_key_file` names a file that holds no public key."""


@dataclass(frozen=True, slots=True)
class _Verified:
    tenant: str
    expires: float


class SignedTokens:
    """Verifies signature, audience, issuer and time, and takes the subject for the tenant. Calls come from one thread.

    The tokens that were used last are remembered: a signature takes longer to check than a request to handle.
    """

    def __init__(self, key_file: Path, audience: str, issuer: str) -> None:
        """Read the public key, RSA or elliptic; raises SigningKeyError."""
        try:
            self._key = load_pem_public_key(key_file.read_bytes())
        except (OSError, ValueError) as error:
            raise SigningKeyError(
                f"The setting jwt_key_file names {key_file}, which holds no public key in PEM ({type(error).__name__})."
            ) from None
        # What the key is for, and never what the token says that it is signed with.
        self._algorithms = ["ES256", "ES384"] if isinstance(self._key, EllipticCurvePublicKey) else ["RS256", "PS256"]
        self._audience = audience
        self._issuer = issuer or None
        self._verified: dict[str, _Verified] = {}

    def tenant_of(self, token: str, *, may_have_expired: bool) -> str | None:
        """Return the token's subject, None if it is not accepted.

        Args:
            token: as the client sent it.
            may_have_expired: for the messages of a session: it may last longer than the token that opened it.
        """
        verified = self._verified.pop(token, None) or self._verify(token)
        if verified is None:
            return None
        self._remember(token, verified)
        has_expired = verified.expires + _LEEWAY_SECONDS < time.time()
        return None if has_expired and not may_have_expired else verified.tenant

    def _remember(self, token: str, verified: _Verified) -> None:
        if len(self._verified) >= _MOST_REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = verified

    def _verify(self, token: str) -> _Verified | None:
        try:
            claims = jwt.decode(
                token,
                self._key,  # type: ignore[arg-type]
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                # Who signed it says whose it is, however old it is; whether it still opens a session is asked above.
                options={"require": ["exp", "sub", "aud"], "verify_exp": False},
            )
            return _Verified(str(claims["sub"]), float(claims["exp"]))
        except (jwt.InvalidTokenError, OverflowError, TypeError, ValueError):
            return None
