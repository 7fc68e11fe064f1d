"""One look at one server: a synthetic session, what Triton says, and its certificate, all at once."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from segtriton_client import ClientError, Endpoint, GrpcTransport
from segtriton_client.numbered_clip import Clip
from segtriton_client.probe import PROBER, TIMEOUT, Record, probe
from segtriton_client.probe_result import ProbeResult
from segtriton_ops.exporter.certificates import read_expiry
from segtriton_ops.exporter.results import Observation, TritonState
from segtriton_ops.exporter.targets import Target
from segtriton_ops.exporter.triton import read_state
from segtriton_protocol import SegtritonError

_LOG = logging.getLogger(__name__)
_CALL_SECONDS = 2.0

_Result = TypeVar("_Result")


class Observer:
    """Looks at addresses; `endpoint` holds how to prove oneself, its target is not read.

    Attributes:
        seconds: what a look may take.
    """

    def __init__(self, endpoint: Endpoint, clip: Clip, network: str, seconds: float, admin_key: str = "") -> None:
        self.seconds = seconds
        self._endpoint = endpoint
        self._clip = clip
        self._network = network
        self._admin_key = admin_key
        self._leaving: set[asyncio.Task[Any]] = set()

    async def look(self, address: str, server_name: str = "", seconds: float | None = None) -> Observation:
        """Return what is seen of `HOST:PORT` within `seconds`; a failure is a result and no error."""
        limit = self.seconds if seconds is None else min(self.seconds, seconds)
        endpoint = replace(self._endpoint, target=address, server_name=self._endpoint.server_name or server_name)
        record = Record()
        session = self._begin(self._stream(endpoint, record))
        triton = self._begin(self._read_triton(endpoint))
        expiry = self._begin(_read_expiry(endpoint))
        await asyncio.wait({session, triton, expiry}, timeout=limit)
        result = _result_of(session, record.finish(PROBER, "The prober itself failed; see its log."))
        if not session.done():
            result = record.finish(TIMEOUT, f"It was not over after {limit:g} s, in phase {record.running or 'none'}.")
        for task in (session, triton, expiry):
            task.cancel()
        return Observation(
            replace(result, certificate_expires=_result_of(expiry, None)),
            _result_of(triton, TritonState(error="Triton did not answer in time.")),
        )

    def _begin(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Start a task and keep it until it has ended, which one that is cancelled does in its own time."""
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _stream(self, endpoint: Endpoint, record: Record) -> ProbeResult:
        async with GrpcTransport(endpoint) as transport:
            return await probe(transport, self._clip, self._network, record)

    async def _read_triton(self, endpoint: Endpoint) -> TritonState:
        async with GrpcTransport(endpoint) as transport:
            try:
                return await read_state(transport, self._admin_key, _CALL_SECONDS)
            except (ClientError, SegtritonError) as error:
                return TritonState(error=str(error))


async def _read_expiry(endpoint: Endpoint) -> float | None:
    if not endpoint.uses_tls:
        return None
    target = Target.parse(endpoint.target)
    try:
        return await read_expiry(target.host, target.port, endpoint)
    except (OSError, ssl.SSLError, ValueError):
        return None


def _result_of(task: asyncio.Task[_Result], otherwise: _Result) -> _Result:
    """Return what a task has brought, or something else where it has not ended or has failed."""
    if not task.done():
        return otherwise
    if error := task.exception():
        _LOG.error("a look failed", exc_info=error)
        return otherwise
    return task.result()
