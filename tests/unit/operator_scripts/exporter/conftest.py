from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from echo_service import EchoService, listen

from segtriton_client import Endpoint
from segtriton_client.numbered_clip import Clip, make_clip
from segtriton_ops.exporter.observer import Observer

FRAMES = 8


@pytest.fixture(scope="session")
def clip() -> Clip:
    return make_clip(FRAMES)


@pytest.fixture
def observer(clip: Clip) -> Observer:
    return Observer(Endpoint(""), clip, "selfie", seconds=20)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., object]]:
    """Starts a service that echoes what it gets, and returns its address."""
    servers = []

    async def start(service: EchoService) -> str:
        server, address = await listen(service)
        servers.append(server)
        return address

    yield start
    for server in servers:
        await server.stop(None)


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of something that takes connections and never says a word."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: connections.append(writer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    for writer in connections:
        writer.transport.abort()
    server.close()
