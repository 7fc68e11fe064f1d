"""`segtriton-drain`: empties the server beside it before it is stopped, as a pod's preStop hook, or a part of it."""

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
from segtriton_server.services.keep_order import KeepOrder

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
    add("--max-wait", type=float, default=120.0, help="seconds that sessions get to move after that")
    add(
        "--keep",
        type=int,
        metavar="COUNT",
        help="do not empty it: let only sessions beyond so many go on elsewhere, take no more than so many until "
        "--max-wait is over (0 ends it now), and do not wait",
    )
    add("--metrics-url", default="http://127.0.0.1:8002/metrics", help="where the server counts its sessions")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    drain_file = os.environ.get("SEGTRITON_DRAIN_FILE", "")
    try:
        if options.keep is None:
            drain(DrainOrder(drain_file), options)
        else:
            KeepOrder(drain_file).write(options.keep, options.max_wait)
    except (OSError, ValueError) as error:
        sys.exit(f"segtriton-drain: {error}")


def drain(order: DrainOrder, options: argparse.Namespace) -> None:
    """Give the orders, and wait until no session is left or the time is over."""
    order.write()
    time.sleep(options.endpoint_delay)
    order.write(migrate_within=options.max_wait)
    deadline = time.monotonic() + options.max_wait
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
