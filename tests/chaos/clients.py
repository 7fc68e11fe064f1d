"""The clients of a chaos run: each keeps books of its own, against which the server's are held."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import grpc
from plans import ClientPlan
from raw_client import RawStream
from stamped_clips import UNCHANGED, stamped_clip
from wire import Wire

from segtriton_client.resuming import ResumingSession
from segtriton_client.transport import GrpcTransport
from segtriton_protocol import Cancel, End, Ended, ErrorCode, Failed, Output, Packet, Packets, SegtritonError

_PAUSE_SECONDS = 0.15


@dataclass
class Account:
    """What one client saw of its run.

    `session_ids` are those it knows of; `ended` and `error` say how the run came to its end: neither, if the client
    was gone before.
    """

    plan: ClientPlan
    session_ids: list[str] = field(default_factory=list)
    extradata: bytes = b""
    sent: int = 0
    packets: list[Packet] = field(default_factory=list)
    drops: Counter[tuple[int, str]] = field(default_factory=Counter)
    ended: Ended | None = None
    error: Exception | None = None

    @property
    def answers(self) -> int:
        return len(self.packets) + self.drops.total()

    def take(self, output: Output) -> None:
        self.packets += output.packets
        self.drops.update((drop.seq, drop.reason.value) for drop in output.drops)


class Trouble:
    """Does at its time what a plan says is to go wrong."""

    def __init__(self, plan: ClientPlan, kill: Callable[[], None]) -> None:
        self._pauses = sorted(plan.pauses)
        self._kills_after = plan.kills_after
        self._kill = kill

    def pause_seconds(self, answers: int) -> float:
        due = [place for place in self._pauses if place <= answers]
        self._pauses = self._pauses[len(due) :]
        return _PAUSE_SECONDS * len(due)

    def strike(self, answers: int) -> None:
        if self._kills_after is not None and answers >= self._kills_after:
            self._kills_after = None
            self._kill()


def run_client(address: str, plan: ClientPlan, kill: Callable[[], None]) -> Account:
    """Stream the plan's clip; every error that is part of the game ends up in the account."""
    account = Account(plan)
    trouble = Trouble(plan, kill)
    if plan.is_resuming:
        asyncio.run(_resume(address, account, trouble))
        return account
    with RawStream(address, lazy=True) as stream:
        try:
            _stream(stream, account, trouble)
        except (SegtritonError, grpc.RpcError) as error:
            account.error = error
    return account


def _stream(stream: RawStream, account: Account, trouble: Trouble) -> None:
    plan = account.plan
    clip = stamped_clip(plan.recipe)
    waiting = plan.sent(clip.packets)
    opened = stream.open(clip, UNCHANGED)
    account.session_ids.append(opened.session_id)
    account.extradata = opened.output_extradata
    credit = opened.credit
    has_cancelled = has_ended = False
    while account.ended is None:
        trouble.strike(account.answers)
        if plan.leaves_after is not None and account.answers >= plan.leaves_after and not has_cancelled:
            if not plan.leaves_politely:
                return
            stream.send(Cancel(opened.session_id))
            has_cancelled = True
        while waiting and account.sent < credit.packets:
            group = tuple(waiting[: min(plan.group, credit.packets - account.sent)])
            del waiting[: len(group)]
            account.sent += len(group)
            stream.send(Packets(opened.session_id, group, received=account.answers))
        if not waiting and not has_ended:
            stream.send(End(opened.session_id, len(clip.packets)))
            has_ended = True
        time.sleep(trouble.pause_seconds(account.answers))
        match stream.receive():
            case Output() as output:
                account.take(output)
                credit = output.credit
            case Ended() as ended:
                account.ended = ended
            case Failed(error) if error.code is not ErrorCode.UNKNOWN_SESSION:
                raise error
            case Failed():
                pass  # the answer to what was on its way when the session failed


async def _resume(address: str, account: Account, trouble: Trouble) -> None:
    clip = stamped_clip(account.plan.recipe)
    async with Wire(address) as wire:
        session = ResumingSession(lambda: GrpcTransport(wire.address), clip.format, UNCHANGED, resume_seconds=20.0)
        try:
            async with session:
                account.extradata = session.opened.output_extradata
                await _follow(session, wire, account, trouble)
        except (SegtritonError, ConnectionError) as error:
            account.error = error


async def _follow(session: ResumingSession, wire: Wire, account: Account, trouble: Trouble) -> None:
    plan = account.plan
    sending = asyncio.ensure_future(_send(session, plan, stamped_clip(plan.recipe).packets))
    cut_after = plan.leaves_after
    try:
        async for output in session:
            account.take(output)
            trouble.strike(account.answers)
            await asyncio.sleep(trouble.pause_seconds(account.answers))
            if cut_after is not None and account.answers >= cut_after:
                wire.cut()
                cut_after = None
        account.ended = session.ended
        await sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(session: ResumingSession, plan: ClientPlan, packets: tuple[Packet, ...]) -> None:
    for start in range(0, len(packets), plan.group):
        await session.send(packets[start : start + plan.group])
    await session.end()


def decodable(account: Account) -> list[Packet]:
    """The output with the first session's parameter sets before it, as a muxer would write it."""
    first, *rest = account.packets
    return [replace(first, payload=account.extradata + first.payload), *rest]
