from __future__ import annotations

import asyncio
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from self_signed import make_certificate

from segtriton_client import Endpoint
from segtriton_ops.exporter.certificates import read_expiry

NOW = datetime.now(timezone.utc).replace(microsecond=0)


@pytest.mark.parametrize("days", [-1, 20])
async def test_the_end_is_read_also_of_a_certificate_that_has_ended(tmp_path: Path, days: int) -> None:
    end = NOW + timedelta(days=days)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(make_certificate(tmp_path / "server.pem", end))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    host, port = server.sockets[0].getsockname()
    async with server:
        assert await read_expiry(host, port, Endpoint("")) == end.timestamp()


async def test_a_server_that_is_gone_shows_none() -> None:
    with pytest.raises(OSError, match=r"."):
        await read_expiry("127.0.0.1", 1, Endpoint(""))
