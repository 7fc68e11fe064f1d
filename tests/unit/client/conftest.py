from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc.aio
import pytest
from echo_service import EchoService
from tritonclient.grpc import service_pb2_grpc
from web_folder import web

__all__ = ["web"]


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Run services on a loop in another thread, so that clients may use asyncio.run."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[Any] = []

    async def start(service: EchoService) -> str:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    async def stop() -> None:
        for server in servers:
            await server.stop(None)

    yield lambda service: asyncio.run_coroutine_threadsafe(start(service), loop).result(10)
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
