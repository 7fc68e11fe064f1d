"""One session of protocol v1: OPEN, packets within the credit, outputs, END, verified counts."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType

from segtriton_client.errors import ClientError, IntegrityError, NoProgressError, ServiceLostError
from segtriton_client.ledger import Ledger
from segtriton_client.transport import MessageStream, Transport
from segtriton_protocol import (
    Acknowledge,
    AnswerId,
    Background,
    Cancel,
    ClientMessage,
    Credit,
    End,
    Ended,
    Failed,
    Migrate,
    Open,
    Opened,
    Output,
    OutputSpec,
    Packet,
    Packets,
    ServerMessage,
    VideoFormat,
    parse_response,
)

# What a server with a GPU takes through its stages together, by default.
GROUP_PACKETS = 16
_GROUP_BYTES = 512 * 1024
_GOODBYE_SECONDS = 2.0
# What is read is acknowledged at the latest when it is so much of what the server lets go unread.
_ACKNOWLEDGED_SHARE = 4
# Answers that overtook another one; a server has no more requests open at once than a few.
_MAX_EARLY_ANSWERS = 1024

Event = Output | Migrate


class StreamSession:
    """A session on a streaming model, as an async context manager.

    Send packets in one task and iterate over the session in another: outputs bring the credit
    that `send` waits for. The iteration ends after ENDED, whose counts and digest it verified.

    Attributes:
        opened: the server's answer to OPEN.
        ended: the server's final counts, once the iteration is over.
        ledger: what was sent and what came back.
    """

    opened: Opened

    def __init__(
        self,
        transport: Transport,
        video: VideoFormat,
        output: OutputSpec | None = None,
        *,
        network: str = "selfie",
        mode: str = "file",
        first_seq: int = 0,
        wanted_seq: int = 0,
        answered_seqs: Sequence[int] = (),
        background: Background | None = None,
        open_seconds: float = 15.0,
        progress_seconds: float = 15.0,
    ) -> None:
        self.ended: Ended | None = None
        self.ledger = Ledger(wanted_seq, answered_seqs)
        self._transport = transport
        self._model = f"{network}_streaming"
        self._open = Open(
            video=video,
            output=output or OutputSpec(),
            network=network,
            mode=mode,
            first_seq=first_seq,
            wanted_seq=wanted_seq,
            answered_seqs=tuple(answered_seqs),
            open_key=secrets.token_hex(16),
            acknowledges=True,
            background=background,
        )
        self._early: dict[int, ServerMessage] = {}
        self._next_number = 0
        self._last_read: AnswerId | None = None
        self._unacknowledged_bytes = 0
        self._posting = asyncio.Lock()
        self._is_answered = True
        self._open_seconds = open_seconds
        self._progress_seconds = progress_seconds
        self._credit = Credit(0, 0)
        self._changed = asyncio.Event()
        self._waits_for_credit = False
        self._is_ending = False
        self._is_over = False
        self._failure: Exception | None = None
        self._active_at = 0.0
        self._reading: asyncio.Task[ServerMessage | None] | None = None

    async def __aenter__(self) -> StreamSession:
        self._stream: MessageStream = self._transport.open_stream(self._model)
        try:
            await self._post(self._open)
            answer = await asyncio.wait_for(self._receive(), self._open_seconds)
            self.opened = self._check_opened(answer)
        except asyncio.TimeoutError:
            self._stream.cancel()
            raise NoProgressError(f"The service did not open a session in {self._open_seconds:g} s.") from None
        except BaseException:
            self._stream.cancel()
            raise
        self._credit = self.opened.credit
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._is_over:
                await asyncio.wait_for(self._say_goodbye(), _GOODBYE_SECONDS)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - leaving anyway; the first error is what counts
            pass
        finally:
            if self._reading is not None and not self._reading.done():
                self._reading.cancel()
            self._stream.cancel()

    @property
    def group_packets(self) -> int:
        """How many packets the server would like a live message to hold at present."""
        return self._credit.group_packets

    async def wait_for_answer(self, seconds: float) -> bool:
        """Wait so long for an answer to the last message; returns whether there is one."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wait_for_answer(), seconds)
        return self._is_answered

    async def send(self, packets: Sequence[Packet]) -> None:
        """Send packets in groups, waiting for credit; raises what ended the session."""
        waiting = list(packets)
        while waiting:
            await self._wait_for_credit(waiting)
            group = self._take_group(waiting)
            self.ledger.record_sent(group, time.monotonic())
            self._is_answered = False
            await self._post_packets(group)

    async def end(self) -> None:
        """Say that no packet follows; go on iterating until the iteration ends."""
        self._is_ending = True
        await self._post(End(self.opened.session_id, self.ledger.next_seq))

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Give outputs (and migration notices) until the session is complete and verified."""
        try:
            while True:
                answer = await self._next_answer()
                if isinstance(answer, Ended):
                    self.ledger.verify(answer)
                    self.ended = answer
                    self._is_over = True
                    await self._hang_up()
                    return
                event = self._take_event(answer)
                yield event
                await self._acknowledge()
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._changed.set()

    async def _hang_up(self) -> None:
        """Let the server end the stream: cancelled at its end, it holds Triton's shutdown up until its time limit."""
        await self._stream.finish_sending()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._stream.receive(), _GOODBYE_SECONDS)

    def _take_event(self, answer: ServerMessage | None) -> Event:
        if isinstance(answer, Failed):
            self._is_over = True
            raise answer.error
        if answer is None:
            self._is_over = True
            raise ServiceLostError("The service closed the session before it was complete.")
        if isinstance(answer, Output):
            self.ledger.record_output(answer, time.monotonic())
            self._last_read = answer.answer_id
            self._unacknowledged_bytes += sum(len(packet.payload) for packet in answer.packets)
            self._credit = answer.credit
            self._is_answered = True
            self._changed.set()
            return answer
        if isinstance(answer, Migrate):
            return answer
        raise IntegrityError(f"The service sent an unexpected {answer.kind} message.")

    async def _next_answer(self) -> ServerMessage | None:
        while True:
            if self._reading is None:
                self._reading = asyncio.ensure_future(self._receive())
            patience = self._progress_seconds
            if self._is_owed_an_answer():
                patience -= time.monotonic() - self._active_at
            if patience <= 0:
                raise NoProgressError(
                    f"The service owes {self.ledger.outstanding} frames and gave none in {self._progress_seconds:g} s."
                )
            done, _ = await asyncio.wait({self._reading}, timeout=patience)
            if done:
                answer, self._reading = self._reading.result(), None
                self._active_at = time.monotonic()
                return answer

    def _is_owed_an_answer(self) -> bool:
        return self.ledger.outstanding > 0 or self._is_ending or self._waits_for_credit

    async def _wait_for_answer(self) -> None:
        while not self._is_answered and self._failure is None and not self._is_over:
            self._changed.clear()
            await self._changed.wait()

    async def _wait_for_credit(self, waiting: Sequence[Packet]) -> None:
        if self._room_for_group(waiting):
            self._raise_if_over()
            return
        self._waits_for_credit = True
        try:
            while not self._room_for_group(waiting):
                self._raise_if_over()
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._waits_for_credit = False
        self._raise_if_over()

    def _raise_if_over(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            raise ServiceLostError("The session is over; nothing more can be sent.")

    def _room_for_group(self, waiting: Sequence[Packet]) -> bool:
        # Were each packet sent as soon as one was answered, all groups would in time become single packets, with the
        # cost of a message each (Clark, "Window and Acknowledgement Strategy in TCP", RFC 813, 1982).
        group = min(len(waiting), GROUP_PACKETS, max(1, self.opened.credit.packets // 4))
        return self._room(waiting[0], group - 1)

    def _room(self, packet: Packet, more_packets: int = 0, more_bytes: int = 0) -> bool:
        return (
            self.ledger.packets_sent + more_packets < self._credit.packets
            and self.ledger.bytes_sent + more_bytes + len(packet.payload) <= self._credit.payload_bytes
        )

    def _take_group(self, waiting: list[Packet]) -> list[Packet]:
        group: list[Packet] = []
        size = 0
        while waiting and len(group) < GROUP_PACKETS and self._room(waiting[0], len(group), size):
            if group and size + len(waiting[0].payload) > _GROUP_BYTES:
                break
            group.append(waiting.pop(0))
            size += len(group[-1].payload)
        return group

    async def _post(self, message: ClientMessage) -> None:
        async with self._posting:  # gRPC takes one message at a time
            await self._stream.send(message.to_parameters(), message.to_tensors())
        self._active_at = time.monotonic()

    async def _post_packets(self, packets: Sequence[Packet]) -> None:
        self._unacknowledged_bytes = 0
        await self._post(Packets(self.opened.session_id, tuple(packets), self.ledger.answered, self._last_read))

    async def _acknowledge(self) -> None:
        """Say what has been read, if it is much: a server that hears nothing of it waits."""
        limit = self.opened.unacknowledged_bytes
        if self._last_read is None or self._unacknowledged_bytes * _ACKNOWLEDGED_SHARE < limit:
            return
        self._unacknowledged_bytes = 0
        with contextlib.suppress(ClientError):  # whoever reads on learns what has ended the stream
            await self._post(Acknowledge(self.opened.session_id, self._last_read))

    async def _receive(self) -> ServerMessage | None:
        """Return the next answer in the session's order, None where the stream has ended before it."""
        while (message := self._early.pop(self._next_number, None)) is None:
            tensors = await self._stream.receive()
            if tensors is None:
                return None
            message = parse_response(tensors)
            if message.answer_id is None:
                return message  # from a server that numbers nothing, or the refusal of one request
            self._put_aside(message, message.answer_id.number)
        self._next_number += 1
        return message

    def _put_aside(self, message: ServerMessage, number: int) -> None:
        if number < self._next_number or number in self._early or len(self._early) >= _MAX_EARLY_ANSWERS:
            raise IntegrityError(f"The service sent answer {number} where {self._next_number} was due.")
        self._early[number] = message

    def _check_opened(self, answer: ServerMessage | None) -> Opened:
        if isinstance(answer, Failed):
            raise answer.error
        if answer is None:
            raise ServiceLostError("The service closed the stream before it opened a session.")
        if not isinstance(answer, Opened):
            raise IntegrityError(f"The service answered OPEN with an unexpected {answer.kind} message.")
        return answer

    async def _say_goodbye(self) -> None:
        """Cancel the session and wait for the server to have heard it."""
        await self._post(Cancel(self.opened.session_id))
        await self._stream.finish_sending()
        while True:
            reading, self._reading = self._reading or asyncio.ensure_future(self._receive()), None
            answer = await reading
            if answer is None or isinstance(answer, Ended | Failed):
                return
