"""`segtriton-probe`: whether the server beside it lives, or is ready; for a pod's probes."""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from segtriton_server.process_start import process_start
from segtriton_server.renewed_certificates import is_restart_due
from segtriton_server.services.drain_order import DrainOrder

_HTTP_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; prints what is wrong."""
    parser = argparse.ArgumentParser(
        prog="segtriton-probe",
        description="End with status 0 if the server beside this command is well: its router has touched the heartbeat "
        "file not long ago, and Triton says the same. A server that drains is not ready. One whose certificates were "
        "renewed after its start does not live: the kubelet runs its preStop hook, which drains it, and restarts it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("what", choices=("live", "ready"))
    parser.add_argument("--http-url", default="http://127.0.0.1:8000", help="Triton's HTTP port")
    parser.add_argument("--max-age", type=float, default=10.0, help="seconds after which a heartbeat is too old")
    parser.add_argument("--server-pid", type=int, default=1, help="process id of Triton")
    parser.add_argument("--certificates", type=Path, metavar="FOLDER", help="where tls.crt, tls.key and ca.crt are")
    parser.add_argument(
        "--renewal-spread",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="the pods of a release restart within so many seconds after a renewal, not all at once",
    )
    options = parser.parse_args(arguments)
    for trouble in (
        drain_trouble(options.server_pid) if options.what == "ready" else renewal_trouble(options),
        heart_trouble(options.max_age),
        triton_trouble(options.http_url, f"/v2/health/{options.what}"),
    ):
        if trouble:
            sys.stderr.write(f"segtriton-probe: {trouble}\n")
            return 1
    return 0


def drain_trouble(server_pid: int) -> str:
    """That the server takes no session, "" if it does."""
    order = DrainOrder(os.environ.get("SEGTRITON_DRAIN_FILE", ""), process_start(server_pid)).read()
    return "it drains" if order.drains else ""


def renewal_trouble(options: argparse.Namespace) -> str:
    """That the server has old certificates and it is its turn to be restarted, "" if not."""
    if options.certificates is None:
        return ""
    started = process_start(options.server_pid)
    try:
        is_due = is_restart_due(options.certificates, started, options.renewal_spread, time.time())
    except OSError:  # what is gone cannot be read at a new start either
        return ""
    return "the certificates were renewed, a restart is due" if is_due else ""


def heart_trouble(max_age_seconds: float) -> str:
    """What is wrong with the router, "" if nothing is or where it has no heartbeat file."""
    path = os.environ.get("SEGTRITON_HEARTBEAT_FILE")
    if not path:
        return ""
    try:
        age = time.time() - Path(path).stat().st_mtime
    except OSError as error:
        return f"there is no heartbeat: {error.strerror}"
    return f"the last heartbeat is {age:.0f} s old" if age > max_age_seconds else ""


def triton_trouble(url: str, path: str) -> str:
    """What is wrong with Triton, "" if nothing is."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_HTTP_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url}{path}: {error}"
    finally:
        connection.close()
    return "" if status == http.client.OK else f"{url}{path}: status {status}"


if __name__ == "__main__":
    sys.exit(main())
