"""What Triton offers to operators is shut to clients, restricted as the chart does it; TLS lets only its own in."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from typing import Any

import grpc
import pytest
from authorities import Authority
from raw_client import read_clip
from servers import ROOT
from test_token import infer_over_http
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from segtriton_client import Endpoint, GrpcTransport, StreamSession
from segtriton_client.errors import ServiceUnavailableError
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.launch.cli import parse

CLIP = read_clip("carphone_pristine.mp4").head(20)
KEY = "a secret of the operators"
ADMIN = "shared-memory,model-config,model-repository,statistics,trace,logging"
RESTRICTIONS = (
    f"--grpc-restricted-protocol={ADMIN}:segtriton-admin-key={KEY}",
    f"--http-restricted-api=metadata,inference,{ADMIN}:segtriton-admin-key={KEY}",
)
MODEL = "selfie_streaming"
DOORS: dict[str, Any] = {
    "RepositoryIndex": pb.RepositoryIndexRequest(),
    "RepositoryModelLoad": pb.RepositoryModelLoadRequest(model_name=MODEL),
    "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name=MODEL),
    "SystemSharedMemoryRegister": pb.SystemSharedMemoryRegisterRequest(name="x", key="/x", byte_size=8),
    "SystemSharedMemoryStatus": pb.SystemSharedMemoryStatusRequest(),
    "SystemSharedMemoryUnregister": pb.SystemSharedMemoryUnregisterRequest(),
    "CudaSharedMemoryRegister": pb.CudaSharedMemoryRegisterRequest(name="x", raw_handle=b"x", byte_size=8),
    "CudaSharedMemoryStatus": pb.CudaSharedMemoryStatusRequest(),
    "TraceSetting": pb.TraceSettingRequest(),
    "LogSettings": pb.LogSettingsRequest(),
    "ModelStatistics": pb.ModelStatisticsRequest(),
    "ModelConfig": pb.ModelConfigRequest(name=MODEL),
}
HTTP_DOORS = {
    "index": ("POST", "/v2/repository/index"),
    "load": ("POST", f"/v2/repository/models/{MODEL}/load"),
    "unload": ("POST", f"/v2/repository/models/{MODEL}/unload"),
    "shared memory": ("GET", "/v2/systemsharedmemory/status"),
    "register": ("POST", "/v2/systemsharedmemory/region/x/register"),
    "trace": ("GET", "/v2/trace/setting"),
    "logging": ("GET", "/v2/logging"),
    "statistics": ("GET", "/v2/models/stats"),
    "config": ("GET", f"/v2/models/{MODEL}/config"),
    "metadata": ("GET", "/v2"),
    "inference": ("POST", "/v2/models/selfie/infer"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def guarded(server_settings: Callable[..., LaunchSettings], authority: Authority) -> Iterator[TritonProcess]:
    server = authority.issue("server")
    tls = (
        "--grpc-use-ssl=true",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={server.certificate}",
        f"--grpc-server-key={server.key}",
        f"--grpc-root-cert={authority.certificate}",
    )
    with TritonProcess(server_settings(triton_args=(*RESTRICTIONS, *tls), workers=1)) as running:
        yield running


def endpoint(server: TritonProcess, trusted: Authority, issuer: Authority | None, **options: Any) -> Endpoint:
    own = issuer.issue("client", **options) if issuer else None
    target = server.grpc_address.replace("127.0.0.1", "localhost")
    return Endpoint(target, trusted.certificate, own.certificate if own else None, own.key if own else None)


@pytest.fixture(scope="module")
def stub(guarded: TritonProcess, authority: Authority) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    own = authority.issue("operator")
    credentials = grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(), own.key.read_bytes(), own.certificate.read_bytes()
    )
    with grpc.secure_channel(guarded.grpc_address.replace("127.0.0.1", "localhost"), credentials) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_of_grpc_is_shut(stub: Any, door: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, door)(DOORS[door], timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "restricted" in caught.value.details()
    assert KEY not in caught.value.details()


@pytest.mark.parametrize("door", ["RepositoryIndex", "SystemSharedMemoryStatus", "TraceSetting", "LogSettings"])
def test_the_operators_key_opens_it(stub: Any, door: str) -> None:
    getattr(stub, door)(DOORS[door], timeout=10, metadata=(("triton-grpc-protocol-segtriton-admin-key", KEY),))


def status(server: TritonProcess, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    connection = HTTPConnection(server.http_url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body=b"{}", headers=headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("door", HTTP_DOORS)
def test_a_door_of_http_is_shut(guarded: TritonProcess, door: str) -> None:
    assert status(guarded, *HTTP_DOORS[door]) == 403


def test_http_says_only_how_it_is(guarded: TritonProcess) -> None:
    assert status(guarded, "GET", "/v2/health/live") == status(guarded, "GET", "/v2/health/ready") == 200
    assert status(guarded, "GET", "/v2/logging", {"segtriton-admin-key": KEY}) == 200


async def stream(target: Endpoint) -> int:
    async with (
        GrpcTransport(target) as transport,
        StreamSession(transport, CLIP.format, open_seconds=10) as session,
    ):
        await session.send(CLIP.packets)
        await session.end()
        return sum([len(event.packets) async for event in session])  # type: ignore[union-attr]


async def test_a_client_with_a_certificate_of_the_authority_is_served(
    guarded: TritonProcess, authority: Authority
) -> None:
    assert await stream(endpoint(guarded, authority, authority)) == len(CLIP.packets)


async def test_a_client_still_learns_which_models_there_are(guarded: TritonProcess, authority: Authority) -> None:
    async with GrpcTransport(endpoint(guarded, authority, authority)) as transport:
        assert await transport.ready_models() == ["selfie", "selfie_streaming"]


YESTERDAY = datetime.now(timezone.utc) - timedelta(days=1)


@pytest.mark.parametrize("who", ["nobody", "a stranger", "one who has expired", "one who trusts another authority"])
async def test_others_are_not(guarded: TritonProcess, authority: Authority, stranger: Authority, who: str) -> None:
    target = {
        "nobody": lambda: endpoint(guarded, authority, None),
        "a stranger": lambda: endpoint(guarded, authority, stranger),
        "one who has expired": lambda: endpoint(guarded, authority, authority, end=YESTERDAY),
        "one who trusts another authority": lambda: endpoint(guarded, stranger, authority),
    }[who]()
    with pytest.raises(ServiceUnavailableError):
        await stream(target)


async def test_nor_is_one_without_tls(guarded: TritonProcess) -> None:
    with pytest.raises(ServiceUnavailableError):
        await stream(Endpoint(guarded.grpc_address))


def test_old_versions_of_tls_are_refused(guarded: TritonProcess) -> None:
    host, _, port = guarded.grpc_address.partition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((host, int(port)), 10) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    """What the command `segtriton-serve` starts, told nothing about doors."""
    folder = tmp_path_factory.mktemp("served")
    ports = [f"--{name}-port=0" for name in ("grpc", "http", "metrics")]
    places = [f"--model-repository={ROOT}/triton_models", f"--networks={ROOT}/.assets/networks"]
    settings, _ = parse([*ports, *places, f"--log-file={folder}/triton.log"])
    with TritonProcess(settings) as running:
        yield running


@pytest.fixture(scope="module")
def open_stub(served: TritonProcess) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(served.grpc_address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize("door", DOORS)
def test_a_server_started_by_hand_has_no_open_door_of_grpc(open_stub: Any, door: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(open_stub, door)(DOORS[door], timeout=10)
    assert "restricted" in caught.value.details()


@pytest.mark.parametrize("door", HTTP_DOORS.keys() - {"metadata", "inference"})
def test_nor_can_a_page_of_another_site_open_one_of_http(served: TritonProcess, door: str) -> None:
    cross_site = {"Origin": "https://example.com", "Content-Type": "text/plain"}
    assert status(served, *HTTP_DOORS[door], cross_site) == 403


def test_it_still_says_what_it_serves_and_takes_frames_over_http(served: TritonProcess) -> None:
    assert status(served, "GET", "/v2") == status(served, "GET", "/v2/models/selfie/ready") == 200
    assert infer_over_http(served, {}) == 200
