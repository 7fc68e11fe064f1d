"""What is watched: a name whose every address is probed, or one endpoint."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

_EVERY_ADDRESS = "dns:///"


class TargetError(Exception):
    """A target that is not written as one."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host and port; with `each_address`, whatever the name resolves to is probed by itself."""

    host: str
    port: int
    each_address: bool = False

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `HOST:PORT`, or `dns:///NAME:PORT` for every address of a name; raises TargetError."""
        each_address = text.startswith(_EVERY_ADDRESS)
        authority = text.removeprefix(_EVERY_ADDRESS)
        try:
            parts = urlsplit(f"//{authority}")
            if parts.hostname and parts.port and parts.netloc == authority and "@" not in authority:
                return cls(parts.hostname, parts.port, each_address)
        except ValueError:
            pass
        raise TargetError(f"{text!r} is no target; write HOST:PORT, or dns:///NAME:PORT for every address of a name.")

    def __str__(self) -> str:
        return f"{_EVERY_ADDRESS if self.each_address else ''}{join_address(self.host, self.port)}"


async def resolve(target: Target) -> list[str]:
    """Return the addresses `HOST:PORT` of a target, sorted; raises OSError where the name has none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = sorted({join_address(str(address[0]), target.port) for *_, address in found})
    return addresses if target.each_address else [join_address(target.host, target.port)]


def join_address(host: str, port: int) -> str:
    """Return `host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
