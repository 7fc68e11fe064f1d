"""A session that outlives its server: it goes on elsewhere when one drains, dies, or asks to retry."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any

from segtriton_client.errors import NoProgressError, ServiceLostError, ServiceUnavailableError
from segtriton_client.replay import ReplayBuffer
from segtriton_client.session import GROUP_PACKETS, StreamSession
from segtriton_client.stitching import StitchedOutputs
from segtriton_client.transport import Transport
from segtriton_protocol import (
    PLAIN_PIXEL_FORMAT,
    Ended,
    ErrorCode,
    Migrate,
    Opened,
    Output,
    OutputSpec,
    Packet,
    SegtritonError,
    VideoFormat,
)

_LOG = logging.getLogger(__name__)
_MOST_UNSENT = 16
# A live packet waits no longer than this for others to go with it, and for the answer to the last message, which may
# not come as decoders keep pictures.
_LONGEST_GATHERING_SECONDS, _LONGEST_TURN_SECONDS = 0.1, 0.25
# A packet may be what kills the servers: who brought nothing so often in turn is not worth another one.
_MOST_FRUITLESS_SESSIONS = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_LOST = (ServiceLostError, ServiceUnavailableError, NoProgressError)
# A first OPEN is asked again where a server drains or replaces its workers; of full slots the user should hear at once.
_WORTH_WAITING = (ErrorCode.DRAINING, ErrorCode.WORKER_LOST)

Connect = Callable[[], AbstractAsyncContextManager[Transport]]


class ResumingSession:
    """As `StreamSession`, over as many sessions as it takes: each frame comes once, in order.

    It keeps what is not yet answered back to the last keyframe, opens a session on another connection, and replays.

    Attributes:
        opened: the first session's answer to OPEN.
        ended: counts of the whole run and the last session's stages, once the iteration is over.
        resumes: how often it went on elsewhere.
        latencies: seconds from the handing over of a packet to its output.
    """

    def __init__(
        self,
        connect: Connect,
        video: VideoFormat,
        output: OutputSpec | None = None,
        *,
        resume_seconds: float = 60.0,
        mode: str = "file",
        **options: Any,
    ) -> None:
        """Take how to connect, what `StreamSession` takes, and for how long to look for another server."""
        self.ended: Ended | None = None
        self.resumes = 0
        self._connect = connect
        self._video = video
        self._output = output or OutputSpec()
        self._options = {"mode": mode, **options}
        self._is_live = mode == "live"
        self._resume_seconds = resume_seconds
        self._replay = ReplayBuffer()
        self._stitched = StitchedOutputs(self._replay)
        self._changed = asyncio.Condition()
        self._stack = AsyncExitStack()
        self._pump: asyncio.Task[None] | None = None
        self._is_ending = False
        self._is_leaving = False
        self._failure: Exception | None = None
        self._answered_at_resume = -1
        self._fruitless = 0

    @property
    def latencies(self) -> Sequence[float]:
        """Seconds from handing over to receipt, of each frame."""
        return self._replay.latencies

    @property
    def answered(self) -> int:
        """Frames and drop records so far."""
        return self._stitched.answered

    @property
    def damaged(self) -> dict[int, str]:
        """Why, by the packet's number, of frames that were mended or lost."""
        return self._stitched.damaged

    async def __aenter__(self) -> ResumingSession:
        self._session = await self._open_first()
        self.opened: Opened = self._session.opened
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def send(self, packets: Sequence[Packet]) -> None:
        """Hand packets over; waits while too many are unsent. Raises what ended the run."""
        async with self._changed:
            self._replay.add(packets, time.monotonic())
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._failure is not None or self._replay.num_unsent < _MOST_UNSENT)
        if self._failure is not None:
            raise self._failure

    async def end(self) -> None:
        """Say that no packet follows; go on iterating until the iteration ends."""
        async with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[Output]:
        """Give outputs until every packet is answered and the last session's account is verified."""
        try:
            while True:
                try:
                    async for output in self._outputs_of_session():
                        yield output
                except (*_LOST, SegtritonError) as error:
                    if not _is_passing(error):
                        raise
                    await self._resume(error)
                    continue
                if self._is_ending and not self._replay.num_unanswered:
                    assert self._session.ended is not None, "its iteration ended with ENDED"
                    self.ended = self._stitched.account(self._session.ended)
                    return
                await self._resume(ServiceLostError("The server drains."))
        except Exception as error:
            self._failure = error
            raise
        finally:
            async with self._changed:
                self._failure = self._failure or (None if self.ended else ServiceLostError("The run was left."))
                self._changed.notify_all()

    # ---------------------------------------------------------------- one session

    async def _outputs_of_session(self) -> AsyncIterator[Output]:
        session = self._session
        self._is_leaving = False
        self._stitched.begin(session.opened)
        self._pump = asyncio.ensure_future(self._send_to(session))
        async for event in session:
            if isinstance(event, Migrate):
                _LOG.info("the server %s drains", session.opened.pod)
                async with self._changed:
                    self._is_leaving = True
                    self._changed.notify_all()
            elif output := self._stitched.take(event, is_leaving=self._is_leaving):
                yield output

    async def _send_to(self, session: StreamSession) -> None:
        """Send what there is, until the end or until the session is to be left; its reader tells what goes wrong."""
        with contextlib.suppress(*_LOST, SegtritonError):
            while group := await self._next_group(session):
                async with self._changed:
                    self._replay.mark_sent(len(group))
                    self._changed.notify_all()
                await session.send(group)
                if self._is_live:
                    # What comes meanwhile goes with the next message: a server that is slow gets larger ones instead of
                    # a longer line (Nagle, "Congestion Control in IP/TCP Internetworks", RFC 896, 1984).
                    await session.wait_for_answer(_LONGEST_TURN_SECONDS)
            await session.end()

    async def _next_group(self, session: StreamSession) -> list[Packet]:
        async with self._changed:
            await self._wait_for_unsent(1)
            if self._is_live:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wait_for_unsent(session.group_packets), _LONGEST_GATHERING_SECONDS)
            return [] if self._is_leaving else self._replay.peek(GROUP_PACKETS)

    async def _wait_for_unsent(self, count: int) -> None:
        await self._changed.wait_for(lambda: self._is_leaving or self._is_ending or self._replay.num_unsent >= count)

    # ---------------------------------------------------------------- from session to session

    async def _open_first(self) -> StreamSession:
        deadline = time.monotonic() + self._resume_seconds
        for pause in pauses():
            try:
                return await self._open(self._output, 0)
            except SegtritonError as error:
                if error.code not in _WORTH_WAITING or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("pauses have no end")

    async def _resume(self, reason: Exception) -> None:
        """Open a session elsewhere; raises `reason` where none is found in time."""
        await self._leave()
        async with self._changed:
            first_seq = self._replay.rewind()
        self._fruitless = self._fruitless + 1 if self.answered == self._answered_at_resume else 0
        self._answered_at_resume = self.answered
        if first_seq is None or self._fruitless >= _MOST_FRUITLESS_SESSIONS or not self._resume_seconds:
            raise reason
        self.resumes += 1
        _LOG.warning("%s; going on from packet %d", reason, self._replay.wanted_seq)
        # The same coding again, or the output could not be one file.
        was_plain = self.opened.output_pixel_format in _PLAIN_PIXEL_FORMATS
        output = dataclasses.replace(
            self._output,
            encoder=_CODEC_ENCODERS.get(self.opened.output_codec, "auto"),
            pixel_format=PLAIN_PIXEL_FORMAT if was_plain else self._output.pixel_format,
        )
        deadline = time.monotonic() + self._resume_seconds
        for pause in pauses():
            try:
                self._session = await self._open(output, first_seq)
            except (*_LOST, SegtritonError) as error:
                if not _is_passing(error) or time.monotonic() + pause > deadline:
                    raise
                _LOG.info("%s", error)
                await asyncio.sleep(pause)
            else:
                return

    async def _open(self, output: OutputSpec, first_seq: int) -> StreamSession:
        stack = AsyncExitStack()
        # What was sent may reorder more pictures than the source's beginning did.
        reorder_frames = max(self._video.reorder_frames or 0, self._replay.reorder_frames)
        try:
            transport = await stack.enter_async_context(self._connect())
            session = StreamSession(
                transport,
                dataclasses.replace(self._video, reorder_frames=reorder_frames or self._video.reorder_frames),
                output,
                first_seq=first_seq,
                wanted_seq=self._replay.wanted_seq,
                answered_seqs=self._replay.answered_seqs,
                **self._options,
            )
            await stack.enter_async_context(session)
        except BaseException:
            await stack.aclose()
            raise
        self._stack = stack
        return session

    async def _leave(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()


_PLAIN_PIXEL_FORMATS = (PLAIN_PIXEL_FORMAT, "yuvj420p")
_CODEC_ENCODERS = {"h264": "h264", "mjpeg": "mjpeg", "rawmask_zlib": "mask"}


def _is_passing(error: Exception) -> bool:
    """Whether another server, or the same one later, may do better."""
    return isinstance(error, _LOST) or (isinstance(error, SegtritonError) and error.retryable)


def pauses() -> Iterator[float]:
    """Seconds between attempts: longer and longer, and not the same for all clients of a server that went away."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
