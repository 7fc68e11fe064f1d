"""Session ids: 128 random bits, issued by the server, unguessable by other clients."""

import re
import secrets

_SESSION_ID = re.compile(r"[0-9a-f]{32}")


def new_session_id() -> str:
    """Return a fresh id: 32 lower-case hexadecimal digits from the system's random source."""
    return secrets.token_hex(16)


def is_session_id(text: str) -> bool:
    """Tell whether `text` has the form of a session id."""
    return _SESSION_ID.fullmatch(text) is not None
