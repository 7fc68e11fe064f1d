"""`segtriton-drain`: empties the server beside it before it is stopped, as a pod's preStop hook."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from segtriton_server.services.drain_order import DrainOrder

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 0.25
_ACTIVE = re.compile(r"^segtriton_active_streams(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="segtriton-drain",
        description="Let the server beside this command take no new session, ask those it has to go on elsewhere, and "
        "wait until they are gone. Ends with status 0 also when the time is over: not to stop then would gain nothing.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--endpoint-delay", type=float, default=5.0, help="seconds until no new client is sent here")
    add("--max-wait", type=float, default=120.0, help="seconds, in all, after which sessions are left to their fate")
    add("--metrics-url", default="http://127.0.0.1:8002/metrics", help="where the server counts its sessions")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    deadline = time.monotonic() + options.max_wait
    order = DrainOrder(os.environ.get("SEGTRITON_DRAIN_FILE", ""))
    try:
        order.write()
        time.sleep(min(options.endpoint_delay, options.max_wait))
        order.write(migrate_within=max(0.0, deadline - time.monotonic()))
    except (OSError, ValueError) as error:
        sys.exit(f"segtriton-drain: {error}")
    while (active := active_streams(options.metrics_url)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _LOG.info("drained: %d sessions left", active)


def active_streams(metrics_url: str) -> int:
    """How many sessions are open; 0 where no server answers any more."""
    try:
        with urllib.request.urlopen(metrics_url, timeout=2) as response:
            page = response.read().decode("utf-8", "replace")
    except (OSError, urllib.error.URLError):
        return 0
    return int(sum(float(value) for value in _ACTIVE.findall(page)))


if __name__ == "__main__":
    main()
