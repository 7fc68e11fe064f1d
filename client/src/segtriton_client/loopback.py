"""A transport inside the process: the seam at which tests stand in for a server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from segtriton_client.errors import ClientError
from segtriton_client.transport import Parameters
from segtriton_protocol import ClientMessage, ServerMessage, parse_request
from segtriton_protocol.tensors import Tensors


@dataclass
class LoopbackStream:
    """A stream whose other end is the test: it reads `requests` and puts answers in `answers`."""

    requests: asyncio.Queue[ClientMessage] = field(default_factory=asyncio.Queue)
    answers: asyncio.Queue[ServerMessage | ClientError | None] = field(default_factory=asyncio.Queue)
    is_cancelled: bool = False

    async def send(self, parameters: Parameters, tensors: Tensors) -> None:
        """Put the parsed request into `requests`."""
        await self.requests.put(parse_request(parameters, tensors))

    async def receive(self) -> Tensors | None:
        """Return the next answer's tensors; None closes the stream and an error is raised."""
        answer = await self.answers.get()
        if isinstance(answer, ClientError):
            raise answer
        return None if answer is None else answer.to_tensors()

    async def finish_sending(self) -> None:
        """Do nothing: the test sees END or CANCEL."""

    def cancel(self) -> None:
        """Remember that the client went away."""
        self.is_cancelled = True


class LoopbackTransport:
    """Opens one `LoopbackStream` and passes single requests to `answer`."""

    def __init__(self, answer: Callable[[str, Parameters, Tensors], Awaitable[Tensors]] | None = None) -> None:
        self.stream = LoopbackStream()
        self.models: list[str] = []
        self._answer = answer

    def open_stream(self, model: str) -> LoopbackStream:
        """Return the one stream."""
        self.models.append(model)
        return self.stream

    async def infer(self, model: str, parameters: Parameters, tensors: Tensors, timeout: float) -> Tensors:
        """Return what the test's function answers."""
        self.models.append(model)
        assert self._answer is not None, "the test gave no answer function"
        return await self._answer(model, parameters, tensors)
