"""The exporter's pages: /metrics, /probe?target=, and what Kubernetes asks."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from segtriton_ops.exporter.collector import ObservationCollector
from segtriton_ops.exporter.results import Observation
from segtriton_ops.exporter.targets import Target, TargetError

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
# Prometheus gives up after its own timeout; the answer must be there a little earlier.
_SCRAPE_TIMEOUT = "HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"
_EARLIER_SECONDS = 0.5


class ProbeRefusedError(Exception):
    """A target that /probe does not take, or more probes at once than it does."""


class Application:
    """A WSGI application.

    `probe_once` looks at a target within so many seconds and may raise ProbeRefusedError; `is_alive` tells whether the
    rounds go on, `is_ready` whether the first one is over.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        probe_once: Callable[[Target, float], Observation],
        is_alive: Callable[[], bool],
        is_ready: Callable[[], bool],
        probe_seconds: float,
    ) -> None:
        self._metrics = make_wsgi_app(registry)
        self._probe_once = probe_once
        self._probe_seconds = probe_seconds
        self._checks = {"/-/healthy": is_alive, "/-/ready": is_ready}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _say(start_response, HTTPStatus.METHOD_NOT_ALLOWED, "Only GET.")
        if path == "/metrics":
            return list(self._metrics(environ, start_response))
        if path == "/probe":
            return self._probe(environ, start_response)
        if path in self._checks:
            healthy = self._checks[path]()
            return _say(start_response, HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE, str(healthy))
        return _say(
            start_response, HTTPStatus.NOT_FOUND, "See /metrics, /probe?target=HOST:PORT, /-/healthy, /-/ready."
        )

    def _probe(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("target", [])
        try:
            if len(asked) != 1:
                raise TargetError("Name one target: /probe?target=HOST:PORT.")
            observation = self._probe_once(Target.parse(asked[0]), self._patience(environ))
        except TargetError as error:
            return _say(start_response, HTTPStatus.BAD_REQUEST, str(error))
        except ProbeRefusedError as error:
            return _say(start_response, HTTPStatus.FORBIDDEN, str(error))
        except concurrent.futures.TimeoutError:
            return _say(start_response, HTTPStatus.SERVICE_UNAVAILABLE, "Too many probes run; ask later.")
        registry = CollectorRegistry()
        registry.register(ObservationCollector(observation))
        return list(make_wsgi_app(registry)({**environ, "QUERY_STRING": ""}, start_response))

    def _patience(self, environ: Environ) -> float:
        try:
            scrape = float(environ.get(_SCRAPE_TIMEOUT, "")) - _EARLIER_SECONDS
        except ValueError:
            return self._probe_seconds
        return max(0.1, min(self._probe_seconds, scrape))


class QuietHandler(WSGIRequestHandler):
    """Logs no request: scrapes and probes would fill the log."""

    def log_message(self, format: str, *args: object) -> None:
        """Do nothing."""


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """One thread a request, so that a slow probe holds up nobody."""

    daemon_threads = True


def serve(application: Application, host: str, port: int) -> WSGIServer:
    """Return a server that listens; port 0 chooses one."""
    return make_server(host, port, application, ThreadingServer, QuietHandler)


def _say(start_response: StartResponse, status: HTTPStatus, text: str) -> Iterable[bytes]:
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]
