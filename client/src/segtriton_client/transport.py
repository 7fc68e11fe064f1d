"""The gRPC channel to a server: requests, message streams, health and metadata.

`Transport` and `MessageStream` are what the rest of the client knows of it; `loopback.py` holds
the pair that tests put in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from segtriton_client.errors import (
    ClientError,
    InputError,
    NoProgressError,
    ServiceLostError,
    ServiceRefusedError,
    ServiceUnavailableError,
)
from segtriton_client.tensor_codec import decode_response, encode_request, parse_response, serialize_request
from segtriton_protocol import Describe, Described, ErrorCode, SegtritonError
from segtriton_protocol import parse_response as parse_message
from segtriton_protocol.tensors import MODELS, Tensors

Parameters = Mapping[str, str | int | float]

_MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
_PROBE_SECONDS = 10.0
_STREAMING = "_streaming"
# As the server asks its clients: a connection that does not answer for so long is gone.
_KEEPALIVE_MILLISECONDS, _KEEPALIVE_TIMEOUT_MILLISECONDS = 20_000, 10_000
# What gRPC says, under other codes than UNAVAILABLE, where the connection broke.
_BROKEN = ("Internal error from Core", "RST_STREAM")
# What Triton says, under UNAVAILABLE, to calls that are for operators.
_RESTRICTED = "protocol is restricted"
# What Triton says, inside a stream, once it has been told to stop or a model's process is gone.
_STOPPING = ("shutting down", "is unloading", "not ready", "has no available versions", "is not healthy")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server is and how the client proves itself.

    TLS is used when any of the three files is given; `token` travels as a bearer token. `server_name` is the name that
    the certificate must have where that is another than the target's, such as a pod's address.
    """

    target: str
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    token: str = ""
    server_name: str = ""

    @property
    def uses_tls(self) -> bool:
        """Whether the channel is encrypted."""
        return any((self.ca_file, self.cert_file, self.key_file))


class MessageStream(Protocol):
    """One bidirectional stream of messages."""

    async def send(self, parameters: Parameters, tensors: Tensors) -> None:
        """Send one request; waits while the transport is full."""

    async def receive(self) -> Tensors | None:
        """Return the next response's tensors, or None when the server has closed the stream."""

    async def finish_sending(self) -> None:
        """Say that no request follows."""

    def cancel(self) -> None:
        """End the stream at once."""


class Transport(Protocol):
    """A way to a server."""

    def open_stream(self, model: str) -> MessageStream:
        """Return a fresh stream to `model`."""

    async def infer(self, model: str, parameters: Parameters, tensors: Tensors, timeout: float) -> Tensors:
        """Send one request and return its response's tensors."""


class GrpcTransport:
    """A channel to one endpoint; an async context manager."""

    def __init__(self, endpoint: Endpoint | str) -> None:
        self.endpoint = Endpoint(endpoint) if isinstance(endpoint, str) else endpoint
        self._metadata = (("authorization", f"Bearer {self.endpoint.token}"),) if self.endpoint.token else ()

    async def __aenter__(self) -> GrpcTransport:
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", _KEEPALIVE_MILLISECONDS),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MILLISECONDS),
            ("grpc.use_local_subchannel_pool", 1),
            # Where a name has several addresses, as a headless Service has: any of those that answer.
            ("grpc.lb_policy_name", "round_robin"),
        ]
        if self.endpoint.server_name:
            options.append(("grpc.ssl_target_name_override", self.endpoint.server_name))
        target = self.endpoint.target
        if self.endpoint.uses_tls:
            self._channel = grpc.aio.secure_channel(target, _read_credentials(self.endpoint), options=options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        # Bytes to bytes: a batch of frames is not copied into protobuf's messages and out of them.
        self._stub.ModelInfer = self._channel.unary_unary(_MODEL_INFER)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    def open_stream(self, model: str) -> GrpcStream:
        """Return a fresh stream to `model`."""
        return GrpcStream(self._stub.ModelStreamInfer(metadata=self._metadata), model, self.endpoint.target)

    async def infer(self, model: str, parameters: Parameters, tensors: Tensors, timeout: float) -> Tensors:
        """Send one request and return its response's tensors."""
        return parse_response(await self.call("ModelInfer", serialize_request(model, tensors, parameters), timeout))

    async def connect(self) -> None:
        """Return when a connection stands; raises the client's error at the first attempt that fails."""
        state = self._channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                await self.check_live()  # its error says why
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)

    async def check_live(self) -> None:
        """Return when the server answers; raises ServiceUnavailableError."""
        try:
            await self.call("ServerLive", service_pb2.ServerLiveRequest(), _PROBE_SECONDS)
        except (NoProgressError, ServiceLostError):
            raise ServiceUnavailableError(f"No server answers at {self.endpoint.target}.") from None

    async def describe(self, model: str) -> Described | None:
        """Return what a streaming model says of its network; None from one that does not answer this question."""
        stream, question = self.open_stream(model), Describe()
        try:
            await stream.send(question.to_parameters(), question.to_tensors())
            tensors = await asyncio.wait_for(stream.receive(), _PROBE_SECONDS)
            message = None if tensors is None else parse_message(tensors)
        except (asyncio.TimeoutError, ClientError, SegtritonError):
            return None
        finally:
            stream.cancel()
        return message if isinstance(message, Described) else None

    async def ready_models(self, network: str = "") -> list[str]:
        """Return the names of the models that are ready, sorted.

        A server may keep the list of its models for operators; then those that this project knows, and those of the
        network given, are asked for, and one of them for the others.
        """
        request = service_pb2.RepositoryIndexRequest(ready=True)
        try:
            index = await self.call("RepositoryIndex", request, _PROBE_SECONDS)
        except ServiceRefusedError:
            return await self._ask_for_models({*MODELS, *_models_of([network])})
        return sorted({model.name for model in index.models})

    async def _ask_for_models(self, known: set[str]) -> list[str]:
        ready = {model for model in sorted(known) if await self._is_ready(model)}
        streaming = next((model for model in sorted(ready) if model.endswith(_STREAMING)), None)
        described = await self.describe(streaming) if streaming else None
        others = _models_of(described.networks if described else ())
        return sorted(ready | {model for model in sorted(others - known) if await self._is_ready(model)})

    async def _is_ready(self, model: str) -> bool:
        reply = await self.call("ModelReady", service_pb2.ModelReadyRequest(name=model), _PROBE_SECONDS)
        return bool(reply.ready)

    async def server_name(self) -> str:
        """Return the server's name and version."""
        metadata = await self.call("ServerMetadata", service_pb2.ServerMetadataRequest(), _PROBE_SECONDS)
        return f"{metadata.name} {metadata.version}"

    async def call(self, method: str, request: Any, timeout: float, headers: Mapping[str, str] | None = None) -> Any:
        """Return the answer to one of Triton's own calls, `ModelStatistics` say; raises the client's error."""
        metadata = (*self._metadata, *(headers or {}).items())
        try:
            return await getattr(self._stub, method)(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise _translate(error, self.endpoint.target, answered=False) from None


class GrpcStream:
    """One ModelStreamInfer call."""

    def __init__(self, call: Any, model: str, target: str) -> None:
        self._call = call
        self._model = model
        self._target = target
        self._answered = False

    async def send(self, parameters: Parameters, tensors: Tensors) -> None:
        """Send one request; waits while the transport is full."""
        try:
            await self._call.write(encode_request(self._model, tensors, parameters))
        except grpc.aio.AioRpcError as error:
            raise _translate(error, self._target, self._answered) from None
        except (grpc.aio.UsageError, asyncio.InvalidStateError):
            raise ServiceLostError("The service ended the stream while packets were on their way.") from None

    async def receive(self) -> Tensors | None:
        """Return the next response's tensors, or None when the server has closed the stream."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _translate(error, self._target, self._answered) from None
        if response is grpc.aio.EOF:
            return None
        if any(words in response.error_message for words in _STOPPING):
            kind = ServiceLostError if self._answered else ServiceUnavailableError
            raise kind(f"{self._target} stops: {_one_line(response.error_message)}.")
        self._answered = True
        if response.error_message:
            raise _refusal("The service refused the request", _one_line(response.error_message))
        return decode_response(response.infer_response)

    async def finish_sending(self) -> None:
        """Say that no request follows."""
        with contextlib.suppress(asyncio.InvalidStateError):  # the server may have ended the call already
            await self._call.done_writing()

    def cancel(self) -> None:
        """End the stream at once."""
        self._call.cancel()


def _models_of(networks: Iterable[str]) -> set[str]:
    return {model for network in networks if network for model in (network, f"{network}{_STREAMING}")}


def _read_credentials(endpoint: Endpoint) -> grpc.ChannelCredentials:
    def read(path: Path | None) -> bytes | None:
        try:
            return path.read_bytes() if path else None
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.", "Check the TLS options.") from None

    root = read(endpoint.ca_file)
    if root is not None:
        try:
            ssl.create_default_context(cadata=root.decode("ascii", "replace"))
        except ssl.SSLError:
            raise InputError(f"{endpoint.ca_file} holds no PEM certificate.", "Check --ca-file.") from None
    return grpc.ssl_channel_credentials(root, read(endpoint.key_file), read(endpoint.cert_file))


def _translate(error: grpc.aio.AioRpcError, target: str, answered: bool) -> ClientError | SegtritonError:
    code, details = error.code(), _one_line(error.details() or "")
    if _RESTRICTED in details:
        return ServiceRefusedError(f"{target} keeps this call for operators: {details}.", "Ask who runs the server.")
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) or any(words in details for words in _BROKEN):
        if answered:
            return ServiceLostError(f"The connection to {target} broke: {details}.")
        return ServiceUnavailableError(f"No server answers at {target}: {details}.")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return NoProgressError(f"{target} did not answer in time.")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return ServiceRefusedError(f"{target} refused the credentials: {details}.", "Check --token or --cert-file.")
    return _refusal(f"{target} refused the request ({code.name})", details)


def _refusal(what: str, details: str) -> ClientError | SegtritonError:
    """Return the typed error that a model put into Triton's message, or a plain refusal."""
    name, _, rest = details.partition(": ")
    if name not in ErrorCode.__members__:
        return ServiceRefusedError(f"{what}: {details}.")
    code = ErrorCode[name]
    return SegtritonError(code, f"{rest}.".removesuffix(code.advice).strip())


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")[:300]
