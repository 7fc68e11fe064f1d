"""Triton's adapter to the streamed service: a request in, responses through its sender."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from segtriton_protocol import Failed, SegtritonError
from segtriton_protocol.tensors import FIRST_PACKET, PARAMETER_MESSAGE, PARAMETER_PROTOCOL, Tensors
from segtriton_server.adapters.model_settings import load_settings
from segtriton_server.adapters.requests import read_request
from segtriton_server.observability.metrics import Metrics
from segtriton_server.services.authorizer import Authorizer
from segtriton_server.services.streaming import StreamingService
from segtriton_server.sessions.dialects import ProtocolDialect, SampleDialect

_LOG = logging.getLogger(__name__)
_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class RequestResponder:
    """Answers one request."""

    def __init__(self, request: pb_utils.InferenceRequest) -> None:
        """Take the request's sender."""
        self._sender = request.get_response_sender()

    def send(self, tensors: Tensors, *, is_final: bool = False) -> None:
        """Send one response."""
        outputs = [pb_utils.Tensor(name, array) for name, array in tensors.items()]
        self._sender.send(pb_utils.InferenceResponse(outputs), flags=_FINAL if is_final else 0)

    def fail(self, text: str) -> None:
        """Send one response that is an error, and final."""
        self._sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(text)), flags=_FINAL)

    def close(self) -> None:
        """Send the final flag."""
        self._sender.send(flags=_FINAL)

    def is_cancelled(self) -> bool:
        """Whether the client has cancelled or is gone."""
        return bool(self._sender.is_cancelled())


class TritonPythonModel:
    """One instance: the router."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start the service."""
        settings = load_settings(args)
        self._authorizer = Authorizer(settings)
        self._metrics = Metrics(pb_utils.MetricFamily)
        with ExitStack() as on_failure:
            on_failure.callback(self._metrics.close)
            self._service = StreamingService(settings, self._metrics, _repository(args))
            on_failure.pop_all()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        """Hand each request to the service."""
        for request in requests:
            responder = RequestResponder(request)
            try:
                self._execute(request, responder)
            except Exception:  # noqa: BLE001 - the other requests must be handled, and this one must end
                _LOG.exception("a request could not be answered")
                with suppress(Exception):
                    responder.close()

    def finalize(self) -> None:
        """End every session, so that no open sender holds up Triton's shutdown."""
        self._service.close()
        self._metrics.close()

    def _execute(self, request: pb_utils.InferenceRequest, responder: RequestResponder) -> None:
        try:
            content = read_request(request)
        except SegtritonError as error:
            responder.fail(str(error))
            return
        parameters, tensors = content.parameters, content.tensors
        try:
            tenant = self._authorizer.check(parameters, is_opening=is_open(parameters, tensors))
        except SegtritonError as error:
            self._refuse(parameters, tensors, responder, error)
        else:
            self._service.handle(content.request_id, parameters, tensors, responder, tenant)

    def _refuse(
        self, parameters: Mapping[str, Any], tensors: Tensors, responder: RequestResponder, error: SegtritonError
    ) -> None:
        if is_open(parameters, tensors):
            self._metrics.add("segtriton_streams_rejected_total", reason=error.code.name)
        dialect = ProtocolDialect() if PARAMETER_PROTOCOL in parameters else SampleDialect()
        dialect.send(responder, Failed(error))


def _repository(args: Mapping[str, str]) -> Path | None:
    """The folder in which this model's own lies."""
    return Path(args["model_repository"]).parent if args.get("model_repository") else None


def is_open(parameters: Mapping[str, Any], tensors: Tensors) -> bool:
    """Whether a request, in either dialect, asks for a session."""
    if PARAMETER_PROTOCOL in parameters:
        return bool(parameters.get(PARAMETER_MESSAGE) == "open")
    return FIRST_PACKET.name in tensors and bool(tensors[FIRST_PACKET.name].any())
