from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from echo_service import EchoService, listen
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
        server, address = await listen(service)
        servers.append(server)
        return address

    async def stop() -> None:
        for server in servers:
            await server.stop(None)

    yield lambda service: asyncio.run_coroutine_threadsafe(start(service), loop).result(10)
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
