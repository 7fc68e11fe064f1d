"""Whether a server should be restarted for the sake of newer certificates: Triton reads them once, at its start."""

from __future__ import annotations

import os
import ssl
import zlib
from pathlib import Path

# The keys of a TLS secret, as cert-manager fills it.
_CERTIFICATE, _KEY, _AUTHORITIES = "tls.crt", "tls.key", "ca.crt"


def is_restart_due(folder: Path, server_start: float, spread_seconds: float, now: float) -> bool:
    """Return whether the certificates are newer than the server, can be used, and it is this pod's turn.

    Args:
        folder: holds the files of a TLS secret.
        server_start: when the server started, in seconds since the epoch, as `now` is.
        spread_seconds: the pods of a release restart within so many seconds after the change, each at a moment that
            its name decides, so that they do not go all at once.
        now: the present.

    Raises:
        OSError: there is no certificate, or no key.
    """
    changed = _last_change(folder)
    return changed > server_start and now >= changed + _delay(changed, spread_seconds) and _is_usable(folder)


def _last_change(folder: Path) -> float:
    authorities = folder / _AUTHORITIES
    files = [folder / _CERTIFICATE, folder / _KEY, *([authorities] if authorities.exists() else [])]
    return max(file.stat().st_mtime for file in files)


def _delay(changed: float, spread_seconds: float) -> float:
    return zlib.crc32(f"{os.uname().nodename} {changed}".encode()) / 2**32 * spread_seconds


def _is_usable(folder: Path) -> bool:
    """Whether Triton could start with them: one that cannot is worse than one with an old certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(folder / _CERTIFICATE, folder / _KEY)
        if (authorities := folder / _AUTHORITIES).exists():
            context.load_verify_locations(authorities)
    except ssl.SSLError:
        return False
    return True
