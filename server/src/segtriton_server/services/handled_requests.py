"""Ends requests that have nothing more to say, beside the thread that takes the next ones."""

from __future__ import annotations

import logging
import queue

from segtriton_server.sessions.dialects import Responder
from segtriton_server.supervised_thread import SupervisedThread

_LOG = logging.getLogger(__name__)


class HandledRequests:
    """One thread that sends final flags.

    Triton gives a model the next request only when the last one is handled, and a final flag waits for Triton's answer:
    done in turn, the two bounded live sessions to 1,400 packets a second, with the router half idle.
    """

    def __init__(self) -> None:
        """Start the thread."""
        self._responders: queue.SimpleQueue[Responder | None] = queue.SimpleQueue()
        self._thread = SupervisedThread(self._run, "close-requests")
        self._thread.start()

    def close_soon(self, responder: Responder) -> None:
        """Send a request's final flag; nothing else may follow on it."""
        self._responders.put(responder)

    def close(self) -> None:
        """Wait until all final flags are sent."""
        self._responders.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (responder := self._responders.get()) is not None:
            try:
                responder.close()
            except Exception:  # noqa: BLE001 - it is one request's end; the others still need theirs
                _LOG.exception("a request could not be closed")
